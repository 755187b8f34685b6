"""Untried micro-kernels have a share of the batch once a search gains nothing."""

from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.spread import (
    Curiosity,
    SpreadSampler,
    conditioned_picks,
    untried,
)
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Sketch
from chameleon_tuner.testing.landscapes import two_sketch_space

SPACE = two_sketch_space()
CURIOSITY = Curiosity(patience=8)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def variations(count: int) -> IntArray:
    """Rows of the micro-kernel of the first random row."""
    rows = SPACE.unique(SPACE.sample(20_000, rng()))
    return rows[SPACE.micro_kernels(rows) == SPACE.micro_kernels(rows[:1])][:count]


def measured(rows: IntArray, seconds: list[float]) -> History:
    history = History(SPACE)
    history.extend(
        [
            Outcome(one, one, str(one), Status.OK, (secs,))
            for one, secs in zip(SPACE.configurations(rows), seconds, strict=True)
        ]
    )
    return history


def candidates() -> Candidates:
    """Variations of what was measured, and 300 others that all seem worse."""
    known = variations(40)[12:]
    others = SPACE.unique(SPACE.sample(300, np.random.default_rng(1)))
    others = others[~np.isin(SPACE.micro_kernels(others), SPACE.micro_kernels(known))]
    rows = np.concatenate([known, others])
    scores = np.where(np.arange(len(rows)) < len(known), 0.0, -2.0 - 1e-3 * np.arange(len(rows)))
    return Candidates(rows, scores, np.full(len(rows), 0.05))


def batch_after(seconds: list[float], sampler: SpreadSampler) -> tuple[IntArray, History]:
    history = measured(variations(len(seconds)), seconds)
    return sampler.select(candidates(), history, 8, rng()), history


def strangers(rows: IntArray, history: History) -> list[int]:
    niches = SPACE.micro_kernels(rows)
    return niches[~np.isin(niches, SPACE.micro_kernels(history.rows))].tolist()


@pytest.mark.parametrize(
    ("seconds", "share"),
    [([1.0] * 12, 4), ([2.0] * 11 + [1.0], 0), ([1.0] * 8, 0)],
    ids=["stalled", "gaining", "young"],
)
def test_half_of_a_batch_is_new_once_nothing_is_gained(seconds: list[float], share: int) -> None:
    batch, history = batch_after(seconds, SpreadSampler(epsilon=0.0, curiosity=CURIOSITY))
    new = strangers(batch, history)
    assert len(new) == len(set(new)) == share
    assert len(batch) == len(SPACE.unique(batch)) == 8


def test_without_curiosity_it_stays_where_it_is() -> None:
    batch, history = batch_after([1.0] * 12, SpreadSampler(epsilon=0.0))
    assert strangers(batch, history) == []


def test_what_curiosity_picks_counts_for_its_sketch() -> None:
    """Four of the other sketch are enough for its share: the rest may all be of the better one."""
    history, some = measured(variations(12), [1.0] * 12), candidates()
    known = SPACE.micro_kernels(some.rows) == SPACE.micro_kernels(history.rows[:1])
    kept = known | (some.rows[:, 0] == 1)
    scores = np.where(known & (some.rows[:, 0] == 1), -1.0, some.scores)
    some = Candidates(some.rows, scores, some.uncertainty).take(kept)
    assert set(some.rows[known[kept], 0].tolist()) == {0, 1}
    sampler = SpreadSampler(epsilon=0.0, of_each=0.25, curiosity=CURIOSITY)
    batch = sampler.select(some, history, 8, rng())
    assert np.bincount(batch[:, 0]).tolist() == [4, 4]


def test_more_than_a_sketch_needs_takes_nothing_from_others() -> None:
    rows = candidates().rows
    some = Candidates(rows, -9.0 * rows[:, 0], np.full(len(rows), 0.05))
    alike = np.where(np.eye(len(some)) > 0, 0.0, -np.inf)
    for count, expected in ((6, [4, 2]), (2, [0, 2])):
        picks = conditioned_picks(some, alike, count, 1.0, 0.1, least=np.array([-3, 2]))
        assert np.bincount(some.rows[picks, 0]).tolist() == expected
        assert len(set(picks.tolist())) == count


def test_chance_and_curiosity_together_are_no_more_than_a_batch() -> None:
    for seed in range(20):
        sampler = SpreadSampler(epsilon=0.9, curiosity=CURIOSITY)
        history = measured(variations(12), [1.0] * 12)
        assert len(sampler.select(candidates(), history, 1, np.random.default_rng(seed))) == 1


def test_the_untried_come_by_their_bounds_one_of_each_micro_kernel() -> None:
    history, some = measured(variations(12), [1.0] * 12), candidates()
    bounds = np.random.default_rng(2).normal(size=len(some))
    found = untried(some, history, bounds)
    niches = SPACE.micro_kernels(some.rows)
    expected: list[int] = []
    seen = set(SPACE.micro_kernels(history.rows).tolist())
    for position in np.argsort(-bounds).tolist():
        if int(niches[position]) not in seen:
            seen.add(int(niches[position]))
            expected.append(position)
    assert found.tolist() == expected


def test_a_space_without_tiles_has_nothing_new() -> None:
    """All of it is one micro-kernel."""
    space = DesignSpace((Sketch((Choice(tuple(range(40))), Choice(tuple(range(40))))),))
    history = History(space)
    rows = space.unique(space.sample(100, rng()))
    history.extend(
        [Outcome(c, c, str(c), Status.OK, (1.0,)) for c in space.configurations(rows[:20])]
    )
    some = Candidates(rows[20:], np.zeros(len(rows) - 20), np.zeros(len(rows) - 20))
    batch = SpreadSampler(curiosity=CURIOSITY).select(some, history, 8, rng())
    assert len(space.unique(batch)) == 8
