# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of explorers; inherit it to test an explorer.

class TestMine(ExplorerContract):
    @pytest.fixture
    def factory(self) -> Factory:
        return MyExplorer
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.explore.base import Candidates, Explorer
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.testing.landscapes import (
    Bowl,
    Oracle,
    constrained_space,
    measure,
    tiny_space,
    two_sketch_space,
)
from chameleon_tuner.testing.landscapes import bowl as matmul_bowl

Factory = Callable[[], Explorer]
"""A function that makes a new explorer. It can be pickled for use in another process."""

PLAN = 64
"""The number of candidates that a sampler needs to choose a batch from."""

_some = settings(
    deadline=None,
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def bowl_in(space: DesignSpace, seed: int = 0) -> Bowl:
    """Return a bowl landscape whose optimum is a random configuration."""
    return Bowl(space, space.sample(1, np.random.default_rng(seed))[0])


LANDSCAPES = {
    "matmul": matmul_bowl(),
    "two sketches": bowl_in(two_sketch_space()),
    "tiny": bowl_in(tiny_space()),
    "constrained": bowl_in(constrained_space()),
}


def search(
    explorer: Explorer, name: str, seed: int, rounds: int = 3, batch: int = 4
) -> tuple[list[Candidates], History]:
    """Run a few rounds that measure the best candidates, and check that these are unvisited.

    The same arguments give the same rounds.

    Args:
        explorer: The explorer.
        name: Name of the landscape.
        seed: Seed of the search.
        rounds: Number of rounds.
        batch: Candidates measured per round.

    Returns:
        The candidates of every round, and the final history.
    """
    landscape, rng = LANDSCAPES[name], np.random.default_rng(seed)
    model, history, proposals = Oracle(landscape), History(landscape.space), []
    history.extend(measure(landscape, landscape.space.sample(2 * batch, rng)))
    for _ in range(rounds):
        proposals.append(explorer.propose(landscape.space, model, history, rng))
        assert not history.visited(proposals[-1].rows).any()
        best = np.argsort(-proposals[-1].scores, kind="stable")[:batch]
        outcomes = measure(landscape, proposals[-1].rows[best])
        history.extend(outcomes)
        explorer.observe(outcomes)
    return proposals, history


def proposals_of(factory: Factory, name: str, seed: int) -> list[tuple[list[object], list[float]]]:
    """Return what a new explorer proposes; another process can repeat it.

    Args:
        factory: Makes the explorer.
        name: Name of the landscape.
        seed: Seed of the search.

    Returns:
        The rows and the scores of every round.
    """
    proposals, _ = search(factory(), name, seed)
    return [(part.rows.tolist(), part.scores.tolist()) for part in proposals]


class ExplorerContract:
    """The contract of every explorer; override `factory`."""

    @pytest.fixture
    def factory(self) -> Factory:
        """Return the function that makes the explorer under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", LANDSCAPES)
    @_some
    @given(seed=st.integers(0, 2**32 - 1))
    def test_candidates_are_distinct_canonical_unvisited_and_scored_by_the_model(
        self, factory: Factory, name: str, seed: int
    ) -> None:
        proposals, history = search(factory(), name, seed)
        space = history.space
        for part in proposals:
            assert len(space.unique(part.rows)) == len(part)
            assert np.array_equal(space.canonical(part.rows), part.rows)
            assert all(space.contains(one) for one in space.configurations(part.rows))
            np.testing.assert_allclose(part.scores, LANDSCAPES[name].score(part.rows))

    @pytest.mark.parametrize("name", LANDSCAPES)
    def test_shapes_and_types(self, factory: Factory, name: str) -> None:
        proposals, history = search(factory(), name, 0)
        for part in proposals:
            assert part.rows.shape == (len(part), 1 + history.space.width)
            assert part.scores.shape == part.uncertainty.shape == (len(part),)
            assert part.rows.dtype == np.int32
            assert part.scores.dtype == part.uncertainty.dtype == np.float64
            assert part.steps >= 1

    @pytest.mark.parametrize("name", ["matmul", "two sketches"])
    def test_there_are_many(self, factory: Factory, name: str) -> None:
        assert min(map(len, search(factory(), name, 0)[0])) >= PLAN

    def test_the_history_stays_as_it_is(self, factory: Factory) -> None:
        landscape, rng = LANDSCAPES["matmul"], np.random.default_rng(0)
        history = History(landscape.space)
        history.extend(measure(landscape, landscape.space.sample(8, rng)))
        rows, seconds = history.rows.copy(), history.seconds.copy()
        factory().propose(landscape.space, Oracle(landscape), history, rng)
        assert len(history) == 8
        assert np.array_equal(history.rows, rows)
        assert np.array_equal(history.seconds, seconds)

    @pytest.mark.parametrize("name", LANDSCAPES)
    def test_unfitted_means_random_with_zero_scores(self, factory: Factory, name: str) -> None:
        landscape, rng = LANDSCAPES[name], np.random.default_rng(0)
        model, history = Oracle(landscape), History(landscape.space)
        model.fitted = False
        part = factory().propose(landscape.space, model, history, rng)
        assert len(part) >= min(PLAN, distinct(landscape.space))
        assert len(landscape.space.unique(part.rows)) == len(part)
        assert np.array_equal(landscape.space.canonical(part.rows), part.rows)
        assert not part.scores.any()
        assert not part.uncertainty.any()

    def test_it_goes_on_where_everything_failed(self, factory: Factory) -> None:
        landscape, rng = LANDSCAPES["matmul"], np.random.default_rng(0)
        history = History(landscape.space)
        failed = landscape.space.configurations(landscape.space.sample(8, rng))
        history.extend([Outcome(one, one, "", Status.BUILD_ERROR) for one in failed])
        assert len(factory().propose(landscape.space, Oracle(landscape), history, rng)) >= PLAN

    def test_it_goes_on_where_nothing_was_measured(self, factory: Factory) -> None:
        landscape = LANDSCAPES["matmul"]
        history, rng = History(landscape.space), np.random.default_rng(0)
        assert len(factory().propose(landscape.space, Oracle(landscape), history, rng)) >= PLAN

    def test_a_tiny_space_is_used_up_and_then_nothing_is_proposed(self, factory: Factory) -> None:
        size = distinct(LANDSCAPES["tiny"].space)
        proposals, history = search(factory(), "tiny", 0, rounds=size)
        assert history.visited(history.space.sample(1000, np.random.default_rng(1))).all()
        assert len(proposals[-1]) == 0

    def test_all_that_is_left_is_proposed(self, factory: Factory) -> None:
        landscape, rng = LANDSCAPES["tiny"], np.random.default_rng(0)
        every = landscape.space.unique(landscape.space.sample(1000, rng))
        history = History(landscape.space)
        history.extend(measure(landscape, every[3:]))
        part = factory().propose(landscape.space, Oracle(landscape), history, rng)
        assert set(landscape.space.keys(part.rows)) == set(landscape.space.keys(every[:3]))

    def test_the_same_seed_gives_the_same(self, factory: Factory) -> None:
        once = proposals_of(factory, "two sketches", 3)
        assert once == proposals_of(factory, "two sketches", 3)
        assert once != proposals_of(factory, "two sketches", 4)

    def test_the_same_seed_gives_the_same_in_another_process(self, factory: Factory) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            theirs = executor.submit(proposals_of, factory, "matmul", 5).result()
        assert theirs == proposals_of(factory, "matmul", 5)

    def test_the_global_generator_is_left_alone(self, factory: Factory) -> None:
        before = str(np.random.get_state())  # noqa: NPY002 - to check that it was not used
        search(factory(), "matmul", 0)
        assert str(np.random.get_state()) == before  # noqa: NPY002


def distinct(space: DesignSpace) -> int:
    """Return the number of distinct configurations among 10,000 random ones of a space.

    Of a small space, this is the number of all its configurations.
    """
    return len(space.unique(space.sample(10_000, np.random.default_rng(0))))
