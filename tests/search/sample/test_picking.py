"""The samplers that pick without clustering: greedy, diverse, spread, take-all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import random_share
from chameleon_tuner.search.sample.baselines import (
    DiverseSampler,
    GreedySampler,
    TakeAllSampler,
    coverage_picks,
)
from chameleon_tuner.search.sample.spread import SpreadSampler, conditioned_picks, log_correlations
from chameleon_tuner.space import DesignSpace, IntArray, Sketch, Tile, neighbours
from chameleon_tuner.testing.landscapes import conv2d_space

SPACE = conv2d_space()


def some_candidates(count: int = 200) -> Candidates:
    rng = np.random.default_rng(0)
    rows = SPACE.unique(SPACE.sample(count, rng))
    return Candidates(rows, rng.normal(size=len(rows)), rng.random(len(rows)))


def distinct_values(rows: IntArray) -> int:
    return sum(len(np.unique(column)) for column in rows.T)


def test_greedy_takes_the_best() -> None:
    candidates = some_candidates()
    batch = GreedySampler(0.0).select(candidates, History(SPACE), 16, np.random.default_rng(0))
    assert np.array_equal(batch, candidates.rows[np.argsort(-candidates.scores)[:16]])


def test_greedy_leaves_a_share_to_chance() -> None:
    candidates = some_candidates()
    batch = GreedySampler(0.25).select(candidates, History(SPACE), 64, np.random.default_rng(0))
    best = candidates.rows[np.argsort(-candidates.scores)[:48]]
    assert np.array_equal(batch[:48], best)
    assert not np.isin(SPACE.keys(batch[48:]), SPACE.keys(best)).any()
    assert len(batch) == 64


@given(count=st.integers(0, 100), share=st.floats(0, 1))
def test_a_random_share_is_rounded_by_chance(count: int, share: float) -> None:
    found = random_share(count, share, np.random.default_rng(0))
    assert np.floor(share * count) <= found <= np.ceil(share * count)


def test_a_small_share_of_a_small_batch_is_not_always_nothing() -> None:
    rng = np.random.default_rng(0)
    assert np.mean([random_share(8, 0.05, rng) for _ in range(2000)]) == pytest.approx(
        0.4, abs=0.05
    )


def test_take_all_takes_what_comes() -> None:
    candidates = some_candidates()
    batch = TakeAllSampler().select(candidates, History(SPACE), 16, np.random.default_rng(0))
    assert np.array_equal(batch, candidates.rows[:16])


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 20), picks=st.integers(1, 8), seed=st.integers(0, 1000))
def test_coverage_picks_against_recounting(count: int, picks: int, seed: int) -> None:
    """Every pick has the largest gain in the objective, counted anew from its definition."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack([np.zeros(count), rng.integers(0, 4, (count, 3))]).astype(np.int32)
    scores = rng.normal(size=count)

    def objective(chosen: list[int]) -> float:
        taken = rows[chosen]
        return scores[chosen].sum() + sum(len(np.unique(column)) for column in taken[:, 1:].T)

    chosen: list[int] = []
    for pick in coverage_picks(rows, scores, picks).tolist():
        assert pick not in chosen
        gains = [objective([*chosen, i]) for i in range(count) if i not in chosen]
        assert objective([*chosen, pick]) == pytest.approx(max(gains))
        chosen.append(pick)
    assert len(chosen) == min(count, picks)


def test_diverse_covers_more_values_than_greedy() -> None:
    candidates = some_candidates()
    batches = [
        sampler.select(candidates, History(SPACE), 16, np.random.default_rng(0))
        for sampler in (DiverseSampler(epsilon=0.0, ratio=4.0), GreedySampler(0.0))
    ]
    assert distinct_values(batches[0]) > distinct_values(batches[1])
    best = candidates.rows[np.argsort(-candidates.scores)[:64]]
    assert np.isin(SPACE.keys(batches[0]), SPACE.keys(best)).all()


def test_spread_without_uncertainty_is_greedy() -> None:
    candidates = some_candidates()
    certain = Candidates(candidates.rows, candidates.scores, np.zeros(len(candidates)))
    rng = np.random.default_rng(0)
    batch = SpreadSampler(epsilon=0.0).select(certain, History(SPACE), 16, rng)
    assert np.array_equal(batch, candidates.rows[np.argsort(-candidates.scores)[:16]])


def test_correlations_fall_with_the_distance_in_units_of_the_median() -> None:
    line = np.array([[0.0], [1.0], [2.0], [2.0]])  # squares 1, 4, 4, 1, 1: median 1
    found = log_correlations(line, reach=0.5)
    assert found[0] == pytest.approx([0.0, -2.0, -8.0, -8.0])
    assert found[2, 3] == pytest.approx(0.0)
    assert log_correlations(line[:1], 0.5).tolist() == [[0.0]]
    assert log_correlations(line[:0], 0.5).shape == (0, 0)


def test_spread_picks_by_the_variance_that_is_left() -> None:
    """Against the conditional variance of a Gaussian, from its definition."""
    candidates = some_candidates(40)
    beta, noise = 1.5, 0.2
    alike = log_correlations(SPACE.encode(candidates.rows), 0.7)
    std = candidates.uncertainty
    covariance = np.exp(alike) * std[:, None] * std
    chosen: list[int] = []
    for pick in conditioned_picks(candidates, alike, 10, beta, noise).tolist():
        left = std**2
        if chosen:
            known = covariance[np.ix_(chosen, chosen)] + noise * np.diag(std[chosen] ** 2)
            across = covariance[:, chosen]
            left = left - np.einsum("ij,ji->i", across, np.linalg.solve(known, across.T))
        bound = candidates.scores + beta * np.sqrt(np.maximum(left, 0))
        bound[chosen] = -np.inf
        assert bound[pick] == pytest.approx(bound.max())
        chosen.append(pick)


def test_spread_goes_elsewhere_after_a_pick() -> None:
    """Of two like candidates and one that is different but a little worse, the last is second."""
    rows = SPACE.sample(2, np.random.default_rng(0))
    twin = neighbours(SPACE, rows[0][None])[:1]
    candidates = Candidates(
        np.concatenate([rows[:1], twin, rows[1:]]), np.array([0.0, -0.01, -0.1]), np.full(3, 0.5)
    )
    batch = SpreadSampler(epsilon=0.0).select(
        candidates, History(SPACE), 2, np.random.default_rng(0)
    )
    assert np.array_equal(batch, candidates.rows[[0, 2]])


def test_spread_leaves_no_sketch_out() -> None:
    """Also where one is hopeless by the model: a share of the batch is its own."""
    sketch = Sketch((Tile(4096, 4, 4096),))
    space = DesignSpace((sketch, sketch))
    rows = space.unique(space.sample(900, np.random.default_rng(0)))
    scores = np.where(rows[:, 0] == 0, -9.0, 0.0) + 0.01 * np.arange(len(rows)) / len(rows)
    candidates = Candidates(rows, scores, np.full(len(rows), 0.1))
    counts = [
        np.bincount(
            SpreadSampler(epsilon=0.0, of_each=share, most=64).select(
                candidates, History(space), 16, np.random.default_rng(0)
            )[:, 0]
        ).tolist()
        for share in (0.0, 0.125)
    ]
    assert counts == [[0, 16], [2, 14]]
