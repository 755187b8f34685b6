from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.cost.base import Prediction
from chameleon_tuner.search.explore.pool import Pool, enumerate_rows, unvisited
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Sketch, Tile
from chameleon_tuner.testing.landscapes import Bowl, Oracle, bowl, measure, tiny_space

seeds = st.integers(0, 2**32 - 1)
BOWL = bowl()


@given(seeds, st.integers(1, 40))
def test_it_keeps_the_best_distinct_unvisited_rows(seed: int, keep: int) -> None:
    rng = np.random.default_rng(seed)
    space, history = BOWL.space, History(BOWL.space)
    batches = [space.sample(20, rng) for _ in range(4)]
    batches.append(np.concatenate(batches)[rng.permutation(80)[:30]])
    history.extend(measure(BOWL, batches[0][:7]))
    pool = Pool(space, Oracle(BOWL), history, keep)
    for batch in batches:
        np.testing.assert_array_equal(pool.evaluate(batch), BOWL.score(batch))
    seen = space.unique(np.concatenate(batches))
    fresh = seen[~history.visited(seen)]
    best = sorted(BOWL.score(fresh).tolist(), reverse=True)[:keep]
    assert pool.scores.tolist() == best
    assert len(space.unique(pool.rows)) == len(pool)
    assert not history.visited(pool.rows).any()
    np.testing.assert_array_equal(pool.scores, BOWL.score(pool.rows))


class _Level:
    """Everything is equally good; each prediction knows which call it came from."""

    fitted = True
    calls = 0

    def fit(self, history: History) -> None:
        raise NotImplementedError

    def predict(self, rows: IntArray) -> Prediction:
        self.calls += 1
        return Prediction(np.zeros(len(rows)), np.full(len(rows), float(self.calls)))


def test_of_equal_rows_the_first_stay_with_their_uncertainty() -> None:
    rng, space = np.random.default_rng(0), BOWL.space
    pool = Pool(space, _Level(), History(space), 8)
    first = space.unique(space.sample(8, rng))
    pool.evaluate(first)
    leaders = pool.leaders(4)
    pool.evaluate(space.sample(8, rng))
    assert np.array_equal(pool.rows, first)
    assert np.array_equal(pool.leaders(4), leaders)
    pool = Pool(space, _Level(), History(space), 64)
    pool.evaluate(first)
    pool.evaluate(first)
    candidates = pool.candidates(3, rng)
    assert candidates.uncertainty[:8].tolist() == [1.0] * 8
    assert candidates.steps == 3


def test_few_candidates_are_filled_up_with_random_ones() -> None:
    space = BOWL.space
    pool = Pool(space, Oracle(BOWL), History(space))
    pool.evaluate(BOWL.optimum[None, :])
    candidates = pool.candidates(1, np.random.default_rng(0))
    assert len(candidates) >= 64
    np.testing.assert_array_equal(candidates.scores, BOWL.score(candidates.rows))


def test_enumerated_rows_are_all_there_are() -> None:
    space = tiny_space()
    rows = enumerate_rows(space)
    assert len(rows) == space.count
    drawn = space.sample(2000, np.random.default_rng(0))
    assert set(space.keys(drawn)) == set(space.keys(rows))


def test_enumeration_covers_every_sketch() -> None:
    plain, inlined = Sketch((Choice((1, 2, 4)), Tile(8, 2, 64))), Sketch((Tile(8, 2, 64),))
    rows = enumerate_rows(DesignSpace((plain, inlined)))
    assert sorted(map(tuple, rows.tolist())) == [
        *((0, choice, tile) for choice in range(3) for tile in range(4)),
        *((1, tile, 0) for tile in range(4)),
    ]


@given(seeds, st.integers(1, 40), st.integers(0, 36))
def test_unvisited_rows_are_as_many_as_there_are(seed: int, count: int, past: int) -> None:
    rng, space = np.random.default_rng(seed), tiny_space()
    every = space.unique(enumerate_rows(space))
    history = History(space)
    history.extend(measure(Bowl(space, every[0]), every[:past]))
    rows = unvisited(space, history, count, rng)
    assert len(rows) == len(space.unique(rows)) == min(count, len(every[past:]))
    assert not history.visited(rows).any()
