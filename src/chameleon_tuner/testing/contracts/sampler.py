# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of samplers; inherit it to test a sampler.

class TestMine(SamplerContract):
    @pytest.fixture
    def sampler(self) -> Sampler:
        return MySampler()
"""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.testing.landscapes import conv2d_space, tiny_space, two_sketch_space

SPACES = {"conv2d": conv2d_space(), "two sketches": two_sketch_space(), "tiny": tiny_space()}

_many = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def measured(space: DesignSpace, rows: IntArray, rng: np.random.Generator) -> History:
    """Return a history of rows with random times, in which one row in eight failed.

    Args:
        space: The design space.
        rows: Configurations, (n, 1 + width).
        rng: Generator of the times and the failures.

    Returns:
        The history.
    """
    history = History(space)
    failed = rng.random(len(rows)) < 1 / 8
    statuses = [Status.REJECTED if fail else Status.OK for fail in failed]
    times = rng.lognormal(-7.0, 1.0, len(rows)).tolist()
    history.extend(
        [
            Outcome(row, row, str(row), status, (secs,) if status is Status.OK else ())
            for row, status, secs in zip(space.configurations(rows), statuses, times, strict=True)
        ]
    )
    return history


def visited_by_explorer(
    history: History, count: int, rng: np.random.Generator, scored: bool = True
) -> Candidates:
    """Return at most `count` distinct unvisited candidates.

    Args:
        history: What was measured before.
        count: The most candidates.
        rng: Generator of the candidates and their scores.
        scored: Whether scores and uncertainties are random; otherwise they are 0.

    Returns:
        The candidates.
    """
    rows = history.space.unique(history.space.sample(count, rng))
    rows = rows[~history.visited(rows)]
    scores = rng.normal(-1.0, 0.5, len(rows)) * scored
    return Candidates(rows, scores, rng.random(len(rows)) * scored)


def a_situation(
    name: str, seed: int, count: int, past: int, scored: bool = True
) -> tuple[Candidates, History]:
    """Return candidates and a history, the same for the same arguments.

    Args:
        name: Name of the design space.
        seed: Seed of everything random.
        count: The most candidates.
        past: The most measured configurations.
        scored: Whether candidates have random scores; otherwise they are 0.

    Returns:
        The candidates and the history.
    """
    rng = np.random.default_rng(seed)
    space = SPACES[name]
    history = measured(space, space.unique(space.sample(past, rng)), rng)
    return visited_by_explorer(history, count, rng, scored), history


def batch_of(sampler: Sampler, name: str, seed: int) -> list[list[int]]:
    """Return what a sampler selects in a fixed situation; another process can repeat it.

    Args:
        sampler: The sampler.
        name: Name of the design space.
        seed: Seed of the situation and of the sampler's generator.

    Returns:
        The selected rows.
    """
    candidates, history = a_situation(name, seed, 200, 60)
    batch = sampler.select(candidates, history, 32, np.random.default_rng(seed))
    return [list(map(int, row)) for row in batch]


class SamplerContract:
    """The contract of every sampler; override `sampler`."""

    @pytest.fixture
    def sampler(self) -> Sampler:
        """Return the sampler under test."""
        raise NotImplementedError

    @_many
    @given(
        name=st.sampled_from(sorted(SPACES)),
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(0, 150),
        past=st.integers(0, 80),
        plan=st.integers(1, 70),
        scored=st.booleans(),
    )
    def test_a_batch_is_new_legal_and_within_the_plan(
        self,
        sampler: Sampler,
        name: str,
        seed: int,
        count: int,
        past: int,
        plan: int,
        scored: bool,
    ) -> None:
        candidates, history = a_situation(name, seed, count, past, scored)
        space = history.space
        batch = sampler.select(candidates, history, plan, np.random.default_rng(seed))
        assert batch.shape[1:] == (1 + space.width,)
        assert batch.dtype == np.int32
        assert len(batch) <= plan
        assert len(space.unique(batch)) == len(batch)
        assert not history.visited(batch).any()
        assert np.array_equal(space.canonical(batch), batch)
        assert all(space.contains(row) for row in space.configurations(batch))

    @_many
    @given(seed=st.integers(0, 2**32 - 1), plan=st.integers(1, 40))
    def test_what_is_visited_after_all_is_never_measured_again(
        self, sampler: Sampler, seed: int, plan: int
    ) -> None:
        rng = np.random.default_rng(seed)
        space = SPACES["two sketches"]
        rows = space.unique(space.sample(80, rng))
        history = measured(space, rows[:60], rng)
        repeated = np.concatenate([rows, rows[::2]])
        candidates = Candidates(repeated, rng.random(len(repeated)), np.zeros(len(repeated)))
        batch = sampler.select(candidates, history, plan, rng)
        assert not history.visited(batch).any()
        assert len(space.unique(batch)) == len(batch)

    @pytest.mark.parametrize("name", sorted(SPACES))
    def test_it_never_stalls_while_something_is_left(self, sampler: Sampler, name: str) -> None:
        space = SPACES[name]
        rng = np.random.default_rng(0)
        history = measured(space, space.unique(space.sample(12, rng)), rng)
        nothing = visited_by_explorer(history, 0, rng)
        assert len(sampler.select(nothing, history, 16, rng)) > 0

    def test_an_exhausted_space_gives_an_empty_batch(self, sampler: Sampler) -> None:
        rng = np.random.default_rng(0)
        space = SPACES["tiny"]
        history = measured(space, space.unique(space.sample(2000, rng)), rng)
        nothing = visited_by_explorer(history, 50, rng)
        assert len(nothing) == 0
        assert sampler.select(nothing, history, 16, rng).shape == (0, 1 + space.width)

    @pytest.mark.parametrize("name", sorted(SPACES))
    def test_the_generator_is_the_only_chance(self, sampler: Sampler, name: str) -> None:
        first = batch_of(sampler, name, 3)
        assert first == batch_of(sampler, name, 3)

    def test_the_same_in_another_process(self, sampler: Sampler) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            there = pool.submit(batch_of, sampler, "two sketches", 5).result()
        assert there == batch_of(sampler, "two sketches", 5)

    def test_its_arguments_stay_as_they_are(self, sampler: Sampler) -> None:
        candidates, history = a_situation("conv2d", 1, 100, 40)
        before = copy.deepcopy((candidates, history.rows, history.seconds))
        sampler.select(candidates, history, 16, np.random.default_rng(0))
        assert np.array_equal(before[0].rows, candidates.rows)
        assert np.array_equal(before[0].scores, candidates.scores)
        assert np.array_equal(before[1], history.rows)
        assert np.array_equal(before[2], history.seconds)
