from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.history import History
from chameleon_tuner.space import INWARD, STAY, Tile, neighbours
from chameleon_tuner.testing.landscapes import (
    BEST_SECS,
    Oracle,
    bowl,
    conv2d_space,
    coordinates,
    deceptive,
    matmul_space,
    measure,
    recorded_conv2d,
    recorded_landscape,
    tiny_space,
    two_sketch_space,
)

SPACES = (matmul_space(), two_sketch_space(), tiny_space(), conv2d_space())


@pytest.mark.parametrize("landscape", [bowl(), deceptive()], ids=["bowl", "deceptive"])
def test_the_optimum_is_known_and_everything_else_is_worse(landscape) -> None:
    space, rng = landscape.space, np.random.default_rng(0)
    optimum = landscape.optimum[None, :]
    assert np.array_equal(space.canonical(optimum), optimum)
    assert landscape.score(optimum).tolist() == [0.0]
    rows = np.concatenate([space.sample(20_000, rng), neighbours(space, landscape.optimum[None])])
    others = rows[(rows != landscape.optimum).any(axis=1)]
    assert landscape.score(others).max() < 0.0


@given(st.integers(0, 2**32 - 1))
def test_in_a_bowl_one_move_or_two_always_gain(seed: int) -> None:
    landscape, space = bowl(), bowl().space
    row = space.sample(1, np.random.default_rng(seed))
    if np.array_equal(row[0], landscape.optimum):
        return
    once = neighbours(space, row[0][None])
    # The tiles decide which locations are legal, so one of them may have to move first.
    twice = np.concatenate([neighbours(space, one[None]) for one in once])
    assert landscape.score(np.concatenate([once, twice])).max() > landscape.score(row)[0]


def test_the_deceptive_local_optimum_beats_all_that_differ_in_one_knob() -> None:
    landscape = deceptive()
    space, start = landscape.space, landscape.start
    here = landscape.score(start[None, :])[0]
    assert here == -landscape.gap
    for column, size in enumerate(space.sizes[0].tolist(), start=1):
        rows = np.repeat(start[None, :], size, axis=0)
        rows[:, column] = np.arange(size)
        rows = space.unique(space.canonical(rows))
        others = rows[(rows != start).any(axis=1)]
        assert landscape.score(others).max() < here


def test_the_deceptive_optimum_is_three_correlated_moves_away_each_a_gain() -> None:
    landscape = deceptive()
    space, row = landscape.space, landscape.start[None, :]
    start, end = coordinates(space, np.stack([landscape.start, landscape.optimum]))
    actions = np.where(end > start, INWARD, STAY)[None, :]
    scores = []
    for _ in range(3):
        row = space.move(row, actions)
        scores.append(landscape.score(row)[0])
    assert np.array_equal(row[0], landscape.optimum)
    np.testing.assert_allclose(scores, [-2 / 3, -1 / 3, 0.0], atol=1e-9)


@pytest.mark.parametrize("space", SPACES, ids=["matmul", "two sketches", "tiny", "conv2d"])
def test_a_move_along_a_tile_changes_one_coordinate(space) -> None:
    rng = np.random.default_rng(0)
    rows = space.sample(200, rng)
    before = coordinates(space, rows)
    assert before.shape == (200, space.move_dims)
    tiles = [knob for knob in space.sketches[0].knobs if isinstance(knob, Tile)]
    boundaries = sum(tile.parts - 1 for tile in tiles)
    for dim in range(1, 1 + boundaries):
        actions = np.full((200, space.move_dims), STAY)
        actions[:, dim] = INWARD
        mine = rows[:, 0] == 0
        changed = coordinates(space, space.move(rows, actions)) != before
        unmoved = np.delete(changed[mine][:, : 1 + boundaries], dim, axis=1)
        assert not unmoved.any()


def test_measuring_and_predicting_agree() -> None:
    landscape = bowl()
    rows = landscape.space.sample(5, np.random.default_rng(0))
    history = History(landscape.space)
    history.extend(measure(landscape, rows))
    assert np.array_equal(history.rows, rows)
    oracle = Oracle(landscape)
    mean, std = oracle.predict(rows)
    np.testing.assert_allclose(-np.log(history.seconds / BEST_SECS), mean)
    assert not std.any()
    assert (oracle.evaluations, oracle.calls) == (5, 1)
    oracle.fitted = False
    assert not oracle.predict(rows).mean.any()


def test_the_recorded_schedules_are_canonical_and_distinct() -> None:
    space, rows, seconds = recorded_conv2d()
    assert rows.shape == (800, 10)
    assert seconds.shape == (800,)
    assert np.array_equal(space.canonical(rows), rows)
    assert len(space.unique(rows)) == 800
    assert seconds.min() == pytest.approx(0.000448217)


def test_the_recorded_landscape_follows_the_recorded_times() -> None:
    landscape = recorded_landscape()
    _, rows, seconds = recorded_conv2d()
    truth = -np.log(seconds / seconds.min())
    assert np.corrcoef(landscape.score(rows), truth)[0, 1] > 0.95


def test_the_recorded_landscape_is_the_same_in_another_process() -> None:
    code = (
        "import numpy as np\n"
        "from chameleon_tuner.testing.landscapes import recorded_landscape\n"
        "l = recorded_landscape()\n"
        "print(l.score(l.space.sample(50, np.random.default_rng(0))).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    landscape = recorded_landscape()
    mine = landscape.score(landscape.space.sample(50, np.random.default_rng(0)))
    assert done.stdout.strip() == str(mine.tolist())
