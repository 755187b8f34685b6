# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of measurers; inherit it to test a measurer.

class TestMine(MeasurerContract):
    @pytest.fixture
    def measurer(self) -> Measurer:
        return MyMeasurer()

    @pytest.fixture
    def task(self) -> Task: ...

    @pytest.fixture
    def legal(self) -> list[Configuration]: ...  # three or more that run

The fixtures `failing`, `twins` and `others` are optional: the tests that need them are skipped
without them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.measurer import Batch, Measurer
from chameleon_tuner.space.task import Task

RAN = (Status.OK, Status.CENSORED)
"""Statuses of candidates that ran."""

TINY_SECS = 1e-12
"""An incumbent that is faster than every candidate."""


class InjectedError(Exception):
    """An error that a proposer of batches raises on purpose."""


@dataclass
class Proposer:
    """An iterable of batches that can be advanced once and counts the batches that it gave.

    Attributes:
        batches: The batches.
        given: Number of batches that were taken so far.
        exhausted: Whether the end was reached.
        error: What it raises at the end; None if it just ends.
    """

    batches: Sequence[Batch]
    given: int = 0
    exhausted: bool = False
    error: Exception | None = None

    def __iter__(self) -> Iterator[Batch]:
        assert self.given == 0, "the batches were asked for twice"
        for batch in self.batches:
            self.given += 1
            yield batch
        self.exhausted = True
        if self.error is not None:
            raise self.error


def measured(
    measurer: Measurer,
    task: Task,
    configurations: Sequence[Configuration],
    incumbent_secs: float = math.inf,
) -> list[Outcome]:
    """Measure one batch, and check everything that holds for any batch.

    Args:
        measurer: The measurer.
        task: The task.
        configurations: Any configurations.
        incumbent_secs: Seconds of the fastest candidate so far.

    Returns:
        The outcomes.
    """
    batch = Batch(task, configurations, incumbent_secs)
    answers = measurer.measure([batch])
    assert len(answers) == 1
    check(batch, answers[0])
    return answers[0]


def check(batch: Batch, outcomes: Sequence[Outcome]) -> None:
    """Check that outcomes answer a batch in order and that each of them is consistent."""
    assert [outcome.proposed for outcome in outcomes] == list(batch.configurations)
    for outcome in outcomes:
        assert 0 <= outcome.build_secs < math.inf
        assert 0 <= outcome.run_secs < math.inf
        if outcome.status in RAN:
            check_ran(batch.task, outcome)
        else:
            assert outcome.seconds == math.inf
            assert outcome.message
    check_modules(outcomes)


def check_ran(task: Task, outcome: Outcome) -> None:
    """Check the outcome of a candidate that ran."""
    assert outcome.samples
    assert all(0 < secs < math.inf for secs in outcome.samples)
    assert len(outcome.samples) == 1 or outcome.status is Status.OK
    assert outcome.message == ""
    assert outcome.structural_hash
    assert task.space.contains(outcome.configuration)


def check_modules(outcomes: Sequence[Outcome]) -> None:
    """Check that outcomes of equal modules are those of one measurement."""
    first: dict[str, Outcome] = {}
    for outcome in outcomes:
        same = first.setdefault(outcome.identity, outcome)
        assert (outcome.status, outcome.samples) == (same.status, same.samples)


class MeasurerContract:
    """The contract of every measurer; override `measurer`, `task` and `legal`."""

    @pytest.fixture
    def measurer(self) -> Measurer:
        """Return the measurer under test."""
        raise NotImplementedError

    @pytest.fixture
    def task(self) -> Task:
        """Return a task of the measurer."""
        raise NotImplementedError

    @pytest.fixture
    def legal(self) -> Sequence[Configuration]:
        """Return three or more distinct configurations of the task that run."""
        raise NotImplementedError

    @pytest.fixture
    def failing(self) -> Sequence[Configuration]:
        """Return distinct configurations that cannot be built or run, in as many ways as known."""
        return ()

    @pytest.fixture
    def twins(self) -> Sequence[Configuration]:
        """Return distinct configurations that run and schedule to the same module."""
        return ()

    @pytest.fixture
    def others(self) -> Sequence[Task]:
        """Return two or more further tasks of the measurer with the design space of `task`."""
        return ()

    # -- one batch

    def test_every_configuration_has_an_outcome_in_order(
        self,
        measurer: Measurer,
        task: Task,
        legal: Sequence[Configuration],
        failing: Sequence[Configuration],
    ) -> None:
        asked = [legal[0], *failing, *legal[1:], legal[0]]
        outcomes = measured(measurer, task, asked)
        ran = [outcome.status in RAN for outcome in outcomes]
        assert ran == [configuration in legal for configuration in asked]

    def test_a_batch_of_one(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        [outcome] = measured(measurer, task, legal[:1])
        assert outcome.status in RAN

    def test_a_batch_of_failures(
        self, measurer: Measurer, task: Task, failing: Sequence[Configuration]
    ) -> None:
        _require(failing, "configurations that fail")
        outcomes = measured(measurer, task, failing)
        assert not any(outcome.status in RAN for outcome in outcomes)

    def test_a_failure_harms_no_other(
        self,
        measurer: Measurer,
        task: Task,
        legal: Sequence[Configuration],
        failing: Sequence[Configuration],
    ) -> None:
        _require(failing, "configurations that fail")
        for one in failing:
            first, _, last = measured(measurer, task, [legal[0], one, legal[1]])
            assert first.status in RAN
            assert last.status in RAN

    def test_duplicates_are_answered_alike(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        one, other = legal[:2]
        outcomes = measured(measurer, task, [one, other, one, one, other])
        for first, again in ((0, 2), (0, 3), (1, 4)):
            assert outcomes[first].configuration == outcomes[again].configuration
            assert outcomes[first].structural_hash == outcomes[again].structural_hash
            assert outcomes[first].status == outcomes[again].status
            assert outcomes[first].samples == outcomes[again].samples

    def test_equal_modules_are_answered_alike(
        self, measurer: Measurer, task: Task, twins: Sequence[Configuration]
    ) -> None:
        _require(twins, "configurations with the same module")
        outcomes = measured(measurer, task, twins)
        assert len({outcome.identity for outcome in outcomes}) == 1
        assert outcomes[0].status in RAN

    def test_any_sequence_is_taken_and_stays_as_it_is(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        asked = [legal[1], legal[0], legal[1]]
        outcomes = measured(measurer, task, asked)
        assert asked == [legal[1], legal[0], legal[1]]
        assert len(measured(measurer, task, tuple(asked[:1]))) == 1
        assert [outcome.proposed for outcome in outcomes] == asked

    def test_an_incumbent_out_of_reach_is_no_failure(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        outcomes = measured(measurer, task, legal, TINY_SECS)
        assert all(outcome.status in RAN for outcome in outcomes)

    # -- one batch after another

    def test_measuring_again_finds_the_same_modules(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        once, again = (measured(measurer, task, legal[:2]) for _ in range(2))
        for first, second in zip(once, again, strict=True):
            assert second.configuration == first.configuration
            assert second.structural_hash == first.structural_hash
            assert second.status in RAN

    def test_what_ran_is_read_back_as_itself(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        first = measured(measurer, task, legal[:2])
        ran = [outcome.configuration for outcome in first]
        again = measured(measurer, task, ran)
        assert [outcome.configuration for outcome in again] == ran
        hashes = [outcome.structural_hash for outcome in first]
        assert [outcome.structural_hash for outcome in again] == hashes

    def test_it_goes_on_after_failures(
        self,
        measurer: Measurer,
        task: Task,
        legal: Sequence[Configuration],
        failing: Sequence[Configuration],
    ) -> None:
        _require(failing, "configurations that fail")
        for _ in range(2):
            measured(measurer, task, failing)
            [outcome] = measured(measurer, task, legal[:1])
            assert outcome.status in RAN

    # -- batches

    def test_no_batches_and_empty_batches(self, measurer: Measurer, task: Task) -> None:
        assert measurer.measure([]) == []
        assert measurer.measure(iter([])) == []
        assert measurer.measure([Batch(task, [], math.inf)]) == [[]]

    def test_batches_of_several_tasks_are_answered_in_order(
        self,
        measurer: Measurer,
        task: Task,
        legal: Sequence[Configuration],
        others: Sequence[Task],
    ) -> None:
        _require(others, "further tasks")
        parts = [legal[:2], [], [legal[2], legal[0], legal[2]], *([legal[:1]] * len(others))]
        batches = [
            Batch(one, configurations, TINY_SECS if number else math.inf)
            for number, (one, configurations) in enumerate(
                zip((task, *others), parts, strict=False)
            )
        ]
        answers = measurer.measure(batches)
        assert len(answers) == len(batches)
        for batch, outcomes in zip(batches, answers, strict=True):
            check(batch, outcomes)
            assert all(outcome.status in RAN for outcome in outcomes)

    def test_batches_may_be_proposed_one_by_one(
        self,
        measurer: Measurer,
        task: Task,
        legal: Sequence[Configuration],
        others: Sequence[Task],
    ) -> None:
        batches = [Batch(one, legal[:1], math.inf) for one in (task, *others)]
        proposer = Proposer(batches)
        answers = measurer.measure(proposer)
        assert proposer.exhausted
        for batch, outcomes in zip(batches, answers, strict=True):
            check(batch, outcomes)

    def test_an_error_of_the_proposer_passes_through_and_does_no_harm(
        self, measurer: Measurer, task: Task, legal: Sequence[Configuration]
    ) -> None:
        error = InjectedError("no further batch")
        for batches in ([], [Batch(task, legal[:2], math.inf)]):
            with pytest.raises(InjectedError, match="no further batch"):
                measurer.measure(Proposer(batches, error=error))
        outcomes = measured(measurer, task, legal[1:])
        assert all(outcome.status in RAN for outcome in outcomes)


def _require(given: Sequence[object], what: str) -> None:
    if not given:
        pytest.skip(f"the author of the suite gives no {what}")
