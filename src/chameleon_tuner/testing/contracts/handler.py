# ruff: noqa: D102 - the name of a test says what it checks
"""The contracts of handlers, one for each part; inherit those of the parts that a handler has.

class TestMine(TaskHandlerContract, CandidateHandlerContract, FinalHandlerContract):
    @pytest.fixture
    def entry(self) -> HandlerEntry[MyHandler]:
        return HandlerEntry("my_backend.handler", "MyHandler")

    @pytest.fixture
    def task(self) -> Task: ...

    @pytest.fixture
    def legal(self) -> list[Configuration]: ...  # three or more that run and are right

The handler works in the process of the tests, so configurations that crash it are out of place.
The fixtures `refused`, `unbuildable` and `twins` are optional: the tests that need them are skipped
without them.
"""

from __future__ import annotations

import math
import pickle
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from chameleon_tuner.core.configuration import (
    Configuration,
    DeployedKernel,
    ForeignTrace,
    LoweredByTVM,
)
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import (
    Compile,
    Contend,
    DeriveSpace,
    Forget,
    HasCandidates,
    HasFinals,
    HasNeutralTimer,
    HasTasks,
    JudgeFinal,
    LoadTask,
    Ready,
    RejectedError,
    Replay,
    Request,
    Run,
    Scheduled,
    Timed,
    TimeKernels,
)
from chameleon_tuner.ports.measurer import Timing, TimingPolicy
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task

H = TypeVar("H")
R = TypeVar("R")

QUICK = TimingPolicy(sample_secs=0.0005, min_samples=2, max_samples=4, budget_secs=0.02)
"""A policy that times a candidate for some milliseconds."""

ROUNDS, ROUND_SECS = 2, 0.0005
"""Rounds of an interleaved timing, and seconds that each kernel runs in a round."""

RIGHT = 1e-2
"""Largest difference of a right output, relative to the largest magnitude."""

MISUSES = (
    *("run", "compile compile", "compile run run"),
    *("forget compile", "compile forget run"),
)
"""Requests about a candidate that was scheduled, of which the last one has to fail."""

UNKNOWN = "a key that no task has"
"""A key of a task that no handler has learned."""


def answer(handler: H, request: Request[H, R]) -> R:
    """Return the answer to a request; both are pickled, as on the way to a worker and back."""
    sent: Request[H, R] = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own bytes
    assert sent == request
    returned: R = pickle.loads(pickle.dumps(sent.answered_by(handler)))  # noqa: S301
    return returned


def failure(handler: H, request: Request[H, object]) -> Exception | None:
    """Return the exception that a request raises; None if it is answered."""
    try:
        answer(handler, request)
    except Exception as error:
        return error
    return None


def loading(task: Task) -> LoadTask:
    """Return the request that a handler learns a task by."""
    return LoadTask(task.key, task.module, dict(task.target), to_plain(task.space))


def deriving(task: Task) -> DeriveSpace:
    """Return the request that a handler learns a task by, whose design space is not known."""
    return DeriveSpace(task.key, task.module, dict(task.target))


def learned(handler: HasTasks, task: Task) -> None:
    """Let a handler learn a task."""
    answer(handler, loading(task))


def again(task: Task) -> Task:
    """Return a task of the same kernel under another key."""
    return replace(task, name=f"{task.name} again", key=f"{task.key}-again")


class HandlerFixtures:
    """What the contracts of all parts need."""

    @pytest.fixture
    def entry(self) -> HandlerEntry[HasTasks]:
        """Return where workers find the handler under test."""
        raise NotImplementedError

    @pytest.fixture
    def task(self) -> Task:
        """Return a task of the handler."""
        raise NotImplementedError

    @pytest.fixture
    def legal(self) -> Sequence[Configuration]:
        """Return three or more distinct configurations of the task that run and are right."""
        raise NotImplementedError

    @pytest.fixture
    def refused(self) -> Sequence[Configuration]:
        """Return configurations that the handler refuses to schedule."""
        return ()

    @pytest.fixture
    def unbuildable(self) -> Sequence[Configuration]:
        """Return configurations that can be scheduled, but not compiled."""
        return ()

    @pytest.fixture
    def twins(self) -> Sequence[Configuration]:
        """Return distinct configurations that schedule to the same module."""
        return ()

    @pytest.fixture
    def handler(self, entry: HandlerEntry[HasTasks], task: Task) -> HasTasks:
        """Return a new handler that has learned the task."""
        handler = entry.load()
        learned(handler, task)
        return handler


class TaskHandlerContract(HandlerFixtures):
    """The contract of handlers that learn tasks; override `entry` and `task`."""

    def test_the_entry_makes_new_handlers_and_can_be_pickled(
        self, entry: HandlerEntry[HasTasks]
    ) -> None:
        sent = pickle.loads(pickle.dumps(entry))  # noqa: S301 - our own bytes
        assert sent == entry
        assert entry.load() is not entry.load()

    def test_a_task_is_learned_from_plain_data(
        self, entry: HandlerEntry[HasTasks], task: Task
    ) -> None:
        handler = entry.load()
        assert failure(handler, loading(task)) is None

    def test_the_design_space_is_found_anew_where_it_is_not_given(
        self, entry: HandlerEntry[HasTasks], task: Task
    ) -> None:
        handler = entry.load()
        assert failure(handler, replace(loading(task), design=None)) is None

    def test_a_design_space_is_derived_as_plain_data(
        self, entry: HandlerEntry[HasTasks], task: Task
    ) -> None:
        handler = entry.load()
        assert answer(handler, deriving(task)) == to_plain(task.space)
        assert failure(handler, deriving(task)) is None
        assert failure(handler, loading(task)) is None

    def test_tasks_may_be_learned_again_and_under_other_keys(
        self, handler: HasTasks, task: Task
    ) -> None:
        assert failure(handler, loading(task)) is None
        assert failure(handler, loading(again(task))) is None

    def test_a_task_that_cannot_be_learned_does_no_harm(
        self, handler: HasTasks, task: Task
    ) -> None:
        for broken in _broken(task):
            failure(handler, broken)  # at the latest, its first candidate fails
            assert failure(handler, loading(task)) is None


class CandidateHandlerContract(HandlerFixtures):
    """The contract of handlers that build and run candidates; override `entry`, `task`, `legal`."""

    @pytest.fixture
    def entry(self) -> HandlerEntry[HasCandidates]:
        """Return where workers find the handler under test."""
        raise NotImplementedError

    # -- scheduling

    def test_what_is_scheduled_is_of_the_space_and_a_module(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        for configuration in legal:
            scheduled = answer(handler, Replay(task.key, configuration))
            assert task.space.contains(scheduled.configuration)
            assert scheduled.structural_hash

    def test_what_is_read_back_is_read_back_as_itself(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        for configuration in legal:
            first = answer(handler, Replay(task.key, configuration))
            second = answer(handler, Replay(task.key, first.configuration))
            assert second.configuration == first.configuration
            assert second.structural_hash == first.structural_hash

    def test_every_candidate_has_a_ticket_of_its_own(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        scheduled = [answer(handler, Replay(task.key, one)) for one in (*legal, legal[0])]
        assert scheduled[-1].structural_hash == scheduled[0].structural_hash
        answer(handler, Forget(scheduled[0].ticket))
        check_run(run(handler, built(handler, scheduled[1])))
        scheduled += [answer(handler, Replay(task.key, one)) for one in legal]
        assert len({one.ticket for one in scheduled}) == len(scheduled)

    def test_twins_have_the_same_hash(
        self, handler: HasCandidates, task: Task, twins: Sequence[Configuration]
    ) -> None:
        _require(twins, "configurations with the same module")
        scheduled = [answer(handler, Replay(task.key, one)) for one in twins]
        assert len({one.structural_hash for one in scheduled}) == 1

    @pytest.mark.parametrize("design", ["given", "found anew", "derived"])
    def test_every_handler_schedules_alike(
        self,
        handler: HasCandidates,
        entry: HandlerEntry[HasCandidates],
        task: Task,
        legal: Sequence[Configuration],
        design: str,
    ) -> None:
        other, request = entry.load(), loading(task)
        anew = {"found anew": replace(request, design=None), "derived": deriving(task)}
        answer(other, anew.get(design, request))
        for configuration in legal:
            mine, theirs = (answer(h, Replay(task.key, configuration)) for h in (handler, other))
            assert theirs.configuration == mine.configuration
            assert theirs.structural_hash == mine.structural_hash

    def test_what_is_refused_is_rejected(
        self,
        handler: HasCandidates,
        task: Task,
        legal: Sequence[Configuration],
        refused: Sequence[Configuration],
    ) -> None:
        _require(refused, "configurations that are refused")
        for configuration in refused:
            error = failure(handler, Replay(task.key, configuration))
            assert isinstance(error, RejectedError)
            assert str(error)
        check_run(run(handler, built(handler, answer(handler, Replay(task.key, legal[0])))))

    def test_what_is_not_of_the_space_fails(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        [first, *_] = legal
        strange = [
            replace(first, sketch=len(task.space.sketches)),
            replace(first, indices=(*first.indices, 0)),
        ]
        for configuration in strange:
            assert failure(handler, Replay(task.key, configuration)) is not None
        check_run(run(handler, built(handler, answer(handler, Replay(task.key, first)))))

    # -- tasks

    def test_a_task_that_was_not_learned_fails(
        self,
        handler: HasCandidates,
        entry: HandlerEntry[HasCandidates],
        task: Task,
        legal: Sequence[Configuration],
    ) -> None:
        for other, key in ((handler, UNKNOWN), (entry.load(), task.key)):
            error = failure(other, Replay(key, legal[0]))
            assert error is not None
            assert not isinstance(error, RejectedError)

    def test_a_task_that_cannot_be_learned_has_no_candidates(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        for broken in _broken(task):
            failed = failure(handler, broken) or failure(handler, Replay(broken.key, legal[0]))
            assert failed is not None
        check_run(run(handler, built(handler, answer(handler, Replay(task.key, legal[0])))))

    def test_candidates_of_several_tasks_are_held_and_run_in_any_order(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        first = answer(handler, Replay(task.key, legal[0]))
        second = built(handler, answer(handler, Replay(task.key, legal[1])))
        learned(handler, again(task))
        third = built(handler, answer(handler, Replay(again(task).key, legal[0])))
        for candidate in (third, built(handler, first), second):
            check_run(run(handler, candidate))

    # -- running

    def test_a_candidate_is_timed(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        for configuration in legal:
            candidate = built(handler, answer(handler, Replay(task.key, configuration)))
            check_run(run(handler, candidate))

    def test_a_policy_bounds_the_samples(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        policy = replace(QUICK, min_samples=1, max_samples=1, apart_bytes=2**16)
        candidate = built(handler, answer(handler, Replay(task.key, legal[0])))
        timing = run(handler, candidate, policy=policy)
        check_run(timing)
        assert len(timing.samples) == 1

    def test_what_is_slower_than_the_incumbent_has_one_sample(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        candidate = built(handler, answer(handler, Replay(task.key, legal[0])))
        timing = run(handler, candidate, incumbent_secs=1e-12)
        assert len(timing.samples) == 1
        assert timing.samples[0] > 0

    # -- tickets

    def test_misused_tickets_fail_and_no_other_candidate_is_harmed(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        bystander = built(handler, answer(handler, Replay(task.key, legal[1])))
        for steps in MISUSES:
            ticket = answer(handler, Replay(task.key, legal[0])).ticket
            [*before, last] = _steps(ticket, steps)
            for step in before:
                answer(handler, step)
            error = failure(handler, last)
            assert error is not None, steps
            assert not isinstance(error, RejectedError), steps
        check_run(run(handler, bystander))

    def test_tickets_that_were_never_given_fail_and_do_no_harm(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        scheduled = answer(handler, Replay(task.key, legal[0]))
        unknown = scheduled.ticket + 1000
        assert failure(handler, Compile(unknown)) is not None
        assert failure(handler, Run(unknown, math.inf, QUICK)) is not None
        failure(handler, Forget(unknown))  # it may be answered: there is nothing to forget
        check_run(run(handler, built(handler, scheduled)))

    def test_forgetting_twice_does_no_harm(
        self, handler: HasCandidates, task: Task, legal: Sequence[Configuration]
    ) -> None:
        first, second = (answer(handler, Replay(task.key, one)) for one in legal[:2])
        answer(handler, Forget(first.ticket))
        failure(handler, Forget(first.ticket))
        check_run(run(handler, built(handler, second)))

    def test_what_cannot_be_compiled_fails_and_cannot_be_run(
        self,
        handler: HasCandidates,
        task: Task,
        legal: Sequence[Configuration],
        unbuildable: Sequence[Configuration],
    ) -> None:
        _require(unbuildable, "configurations that cannot be compiled")
        for configuration in unbuildable:
            ticket = answer(handler, Replay(task.key, configuration)).ticket
            assert failure(handler, Compile(ticket)) is not None
            assert failure(handler, Run(ticket, math.inf, QUICK)) is not None
        check_run(run(handler, built(handler, answer(handler, Replay(task.key, legal[0])))))


class FinalHandlerContract(HandlerFixtures):
    """The contract of handlers that judge finals; override `entry`, `task` and `legal`."""

    @pytest.fixture
    def entry(self) -> HandlerEntry[HasFinals]:
        """Return where workers find the handler under test."""
        raise NotImplementedError

    # -- results

    def test_the_untuned_kernel_comes_first_and_right_finalists_are_right(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        untuned, *finalists = judged(handler, task, legal)
        assert len(finalists) == len(legal)
        assert untuned.error == 0.0
        for kernel in (untuned, *finalists):
            check_timed(kernel, at_most=ROUNDS)
            assert kernel.error is not None
            assert 0 <= kernel.error <= RIGHT

    def test_a_final_without_finalists(self, handler: HasFinals, task: Task) -> None:
        [untuned] = judged(handler, task, [])
        check_timed(untuned, at_most=ROUNDS)
        assert untuned.error == 0.0

    def test_a_finalist_may_take_part_twice(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        _, first, second = judged(handler, task, [legal[0], legal[0]])
        for kernel in (first, second):
            check_timed(kernel, at_most=ROUNDS)
            assert kernel.error is not None

    def test_a_finalist_that_fails_fails_alone_and_in_its_place(
        self,
        handler: HasFinals,
        task: Task,
        legal: Sequence[Configuration],
        refused: Sequence[Configuration],
    ) -> None:
        _require(refused, "configurations that are refused")
        finalists = [*refused, legal[0], legal[1]]
        untuned, *kernels = judged(handler, task, finalists)
        assert untuned.error == 0.0
        assert len(kernels) == len(finalists)
        for configuration, kernel in zip(finalists, kernels, strict=True):
            if configuration in refused:
                check_failed(kernel)
            else:
                check_timed(kernel, at_most=ROUNDS)
                assert kernel.error is not None

    def test_finalists_of_another_task_are_compared_with_the_kernel(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        learned(handler, again(task))
        finalists = [(task.key, legal[0]), (again(task).key, legal[1])]
        answer(handler, Ready(task.key, finalists))
        answer(handler, Contend(ROUNDS, ROUND_SECS, 2**16))
        for kernel in answer(handler, JudgeFinal(-1.0)):
            check_timed(kernel, at_most=ROUNDS)
            assert kernel.error is not None
            assert 0 <= kernel.error <= RIGHT

    def test_outputs_are_compared_from_the_fastest_on_until_one_is_right(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        untuned, *finalists = judged(handler, task, legal, tolerance=math.inf)
        assert untuned.error == 0.0
        [compared] = [kernel for kernel in finalists if kernel.error is not None]
        fastest = min(statistics.median(kernel.samples) for kernel in finalists)
        assert statistics.median(compared.samples) == fastest

    # -- one final at a time

    def test_a_second_final_replaces_the_first(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        first = Ready(task.key, [(task.key, legal[0])])
        answer(handler, first)
        assert len(judged(handler, task, [])) == 1
        answer(handler, first)
        answer(handler, Contend(ROUNDS, ROUND_SECS, 0))
        answer(handler, Ready(task.key, []))
        assert failure(handler, JudgeFinal(-1.0)) is not None  # those timings are gone

    def test_without_a_final_there_is_nothing_to_judge(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        steps = Contend(ROUNDS, ROUND_SECS, 0), JudgeFinal(-1.0)
        assert all(failure(handler, step) is not None for step in steps)
        assert len(judged(handler, task, legal[:1])) == 2
        assert all(failure(handler, step) is not None for step in steps)  # it is over

    def test_what_was_not_timed_cannot_be_judged(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        answer(handler, Ready(task.key, [(task.key, legal[0])]))
        assert failure(handler, JudgeFinal(-1.0)) is not None
        assert len(judged(handler, task, [])) == 1

    def test_a_final_of_an_unknown_task_fails_and_leaves_none(
        self, handler: HasFinals, task: Task, legal: Sequence[Configuration]
    ) -> None:
        answer(handler, Ready(task.key, [(task.key, legal[0])]))
        assert failure(handler, Ready(UNKNOWN, [])) is not None
        assert failure(handler, Contend(ROUNDS, ROUND_SECS, 0)) is not None
        assert len(judged(handler, task, [])) == 1


class NeutralHandlerContract(HandlerFixtures):
    """The contract of handlers that time kernels of any tuner; see `NeutralHandler`.

    Override `entry`, `task` and `legal`.
    """

    @pytest.fixture
    def entry(self) -> HandlerEntry[HasNeutralTimer]:
        """Return where workers find the handler under test."""
        raise NotImplementedError

    @pytest.fixture
    def kernels(self, legal: Sequence[Configuration]) -> Sequence[DeployedKernel]:
        """Return kernels that can be built; those of other tuners may be added."""
        return [*legal, LoweredByTVM(legal[0])]

    def test_every_kernel_has_a_sample_of_every_round(
        self, handler: HasNeutralTimer, task: Task, kernels: Sequence[DeployedKernel]
    ) -> None:
        for asked, rounds in ((kernels, 3), (kernels[:1], 1)):
            timed = answer(handler, TimeKernels(task.key, asked, rounds, ROUND_SECS))
            assert len(timed) == len(asked)
            for kernel in timed:
                check_timed(kernel, at_most=rounds)
                assert len(kernel.samples) == rounds
                assert kernel.error is None

    def test_no_kernels(self, handler: HasNeutralTimer, task: Task) -> None:
        assert answer(handler, TimeKernels(task.key, [], ROUNDS, ROUND_SECS)) == []

    def test_a_kernel_may_be_timed_twice(
        self, handler: HasNeutralTimer, task: Task, kernels: Sequence[DeployedKernel]
    ) -> None:
        twice = [kernels[-1], kernels[-1]]
        timed = answer(handler, TimeKernels(task.key, twice, ROUNDS, ROUND_SECS))
        assert [len(kernel.samples) for kernel in timed] == [ROUNDS] * 2

    def test_what_cannot_be_built_fails_alone_and_in_its_place(
        self,
        handler: HasNeutralTimer,
        task: Task,
        kernels: Sequence[DeployedKernel],
        refused: Sequence[Configuration],
    ) -> None:
        broken: list[DeployedKernel] = [ForeignTrace("no trace"), *refused]
        broken += map(LoweredByTVM, refused)
        asked = [*broken, kernels[0]]
        timed = answer(handler, TimeKernels(task.key, asked, ROUNDS, ROUND_SECS))
        assert len(timed) == len(asked)
        for asked_for, kernel in zip(asked, timed, strict=True):
            if asked_for in broken:
                check_failed(kernel)
            else:
                assert len(kernel.samples) == ROUNDS

    def test_an_unknown_task_has_no_timings(
        self, handler: HasNeutralTimer, task: Task, kernels: Sequence[DeployedKernel]
    ) -> None:
        request = TimeKernels(UNKNOWN, kernels[:1], ROUNDS, ROUND_SECS)
        if failure(handler, request) is None:
            for kernel in answer(handler, request):
                check_failed(kernel)
        timed = answer(handler, replace(request, key=task.key))
        assert [len(kernel.samples) for kernel in timed] == [ROUNDS]


# -- steps and checks that the contracts share


def built(handler: HasCandidates, scheduled: Scheduled) -> Scheduled:
    """Compile a candidate and return it."""
    answer(handler, Compile(scheduled.ticket))
    return scheduled


def run(
    handler: HasCandidates,
    candidate: Scheduled,
    incumbent_secs: float = math.inf,
    policy: TimingPolicy = QUICK,
) -> Timing:
    """Run a compiled candidate.

    Args:
        handler: The handler that holds it.
        candidate: The candidate.
        incumbent_secs: Seconds of the fastest candidate so far.
        policy: When it was timed enough.

    Returns:
        The timed runs.
    """
    return answer(handler, Run(candidate.ticket, incumbent_secs, policy))


def check_run(timing: Timing) -> None:
    """Check the timing of a candidate that runs while there is no incumbent."""
    assert 1 <= len(timing.samples) <= QUICK.max_samples
    assert all(0 < secs < math.inf for secs in timing.samples)
    assert not timing.censored
    assert timing.spent_secs > 0


def judged(
    handler: HasFinals,
    task: Task,
    finalists: Sequence[Configuration],
    tolerance: float = -1.0,
) -> list[Timed]:
    """Hold a final.

    Args:
        handler: The handler.
        task: The task whose untuned kernel takes part.
        finalists: Configurations of the task.
        tolerance: Outputs are compared until one is within it; below 0 all are compared.

    Returns:
        The untuned kernel, then the finalists.
    """
    answer(handler, Ready(task.key, [(task.key, finalist) for finalist in finalists]))
    answer(handler, Contend(ROUNDS, ROUND_SECS, 0))
    return answer(handler, JudgeFinal(tolerance))


def check_timed(kernel: Timed, at_most: int) -> None:
    """Check the result of a kernel that was timed in at most so many rounds."""
    assert 1 <= len(kernel.samples) <= at_most
    assert all(0 < secs < math.inf for secs in kernel.samples)
    assert kernel.message == ""


def check_failed(kernel: Timed) -> None:
    """Check the result of a kernel that could not be timed."""
    assert kernel.samples == ()
    assert kernel.error is None or math.isnan(kernel.error)
    assert kernel.message


def _broken(task: Task) -> list[LoadTask]:
    """Return requests to learn tasks whose module or design space is none."""
    module = replace(loading(task), key="broken module", module="broken")
    return [module, replace(loading(task), key="broken design", design="broken")]


def _steps(ticket: int, names: str) -> list[Request[HasCandidates, object]]:
    steps: dict[str, Request[HasCandidates, object]] = {
        "compile": Compile(ticket),
        "run": Run(ticket, math.inf, QUICK),
        "forget": Forget(ticket),
    }
    return [steps[name] for name in names.split()]


def _require(given: Sequence[object], what: str) -> None:
    if not given:
        pytest.skip(f"the author of the suite gives no {what}")
