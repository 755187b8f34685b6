from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.baselines import GreedySampler, TakeAllSampler
from chameleon_tuner.search.sample.portfolio import ByKind, PortfolioSampler
from chameleon_tuner.space import IntArray, parameter_space
from chameleon_tuner.testing.landscapes import Bowl, constrained_space, measure, tiny_space

SPACE = constrained_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])
RNG = np.random.default_rng


def history_of(rows: IntArray) -> History:
    history = History(SPACE)
    history.extend(measure(BOWL, rows))
    return history


def test_the_first_batch_is_the_random_one_and_is_whole() -> None:
    rows = SPACE.unique(SPACE.sample(100, RNG(0)))
    drawn = Candidates(rows, np.zeros(len(rows)), np.zeros(len(rows)))
    chosen = PortfolioSampler().select(drawn, History(SPACE), 16, RNG(0))
    np.testing.assert_array_equal(chosen, rows[:16])


@pytest.mark.parametrize(("measured", "size"), [(20, 4), (128, 8), (400, 16)])
def test_batches_grow_with_what_is_known_up_to_the_plan(measured: int, size: int) -> None:
    rows = SPACE.unique(SPACE.sample(1500, RNG(0)))
    history, rest = history_of(rows[:measured]), rows[measured:]
    some = Candidates(rest, BOWL.score(rest), np.full(len(rest), 0.1))
    assert len(PortfolioSampler().select(some, history, 16, RNG(0))) == size


def test_a_batch_has_the_uncertain_the_best_and_a_neighbour_of_the_fastest() -> None:
    rows = SPACE.unique(SPACE.sample(1000, RNG(0)))
    history = history_of(rows[:30])
    leader = history.ranked()[0]
    near = SPACE.unique(SPACE.mutate(np.repeat(leader[None], 200, axis=0), RNG(1)))
    near = near[(near != leader).sum(axis=1) == 1]
    rest = SPACE.unique(np.concatenate([near, rows[30:]]))
    rest = rest[~history.visited(rest)]
    scores, std = np.full(len(rest), -3.0), np.full(len(rest), 0.1)
    far = np.flatnonzero((rest != leader).sum(axis=1) > 2)
    scores[far[0]] = 0.0
    std[far[1:3]] = 5.0
    chosen = PortfolioSampler().select(Candidates(rest, scores, std), history, 4, RNG(0))
    keys = SPACE.keys(chosen).tolist()
    assert all(key in keys for key in SPACE.keys(rest[far[:3]]).tolist())
    assert ((chosen != leader).sum(axis=1) == 1).any()


def test_spaces_without_tiles_have_their_own_sampler() -> None:
    sampler = ByKind(tiled=TakeAllSampler(), plain=GreedySampler(epsilon=0.0))
    for space, greedy in ((tiny_space(), False), (parameter_space({"a": range(30)}), True)):
        rows = space.unique(space.sample(200, RNG(0)))
        scores = np.arange(len(rows), dtype=np.float64)
        some = Candidates(rows, scores, np.zeros(len(rows)))
        chosen = sampler.select(some, History(space), 3, RNG(0))
        expected = rows[::-1][:3] if greedy else rows[:3]
        np.testing.assert_array_equal(chosen, expected)
