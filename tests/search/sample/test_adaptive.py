from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.adaptive import (
    AdaptiveSampler,
    Points,
    representatives,
    with_anchors,
)
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Sketch, neighbours
from chameleon_tuner.testing.landscapes import conv2d_space

CUBE = DesignSpace((Sketch((Choice((0, 1, 2)),) * 3),))
NO_CHANCE = AdaptiveSampler(epsilon=0.0)


def history_of(space: DesignSpace, rows: IntArray, secs: float = 1e-3) -> History:
    history = History(space)
    history.extend(
        [
            Outcome(c, c, str(c), Status.OK, (secs * (1 + number),))
            for number, c in enumerate(space.configurations(rows))
        ]
    )
    return history


def candidates_of(rows: IntArray, scores: np.ndarray | None = None) -> Candidates:
    scores = np.linspace(0, -0.1, len(rows)) if scores is None else scores
    return Candidates(rows, scores, np.zeros(len(rows)))


def of_cube(*rows: tuple[int, int, int]) -> IntArray:
    return np.array([(0, *row) for row in rows], dtype=np.int32)


def picked(*, weights: list[float], measured: list[bool], medoid: int, history: History) -> list:
    """Of one cluster of the cube: three that differ from (0, 0, 0) in one knob, and (1, 1, 1)."""
    rows = of_cube((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1))
    points = Points(rows, np.array(weights), np.array(measured))
    labels = np.zeros(4, dtype=np.int64)
    return representatives(points, np.array([medoid]), labels, history)[:, 1:].tolist()


def test_a_medoid_that_is_new_stands_for_its_cluster() -> None:
    found = picked(weights=[1] * 4, measured=[False] * 4, medoid=1, history=History(CUBE))
    assert found == [[0, 1, 0]]


def test_a_measured_medoid_becomes_the_mode_of_its_cluster() -> None:
    history = history_of(CUBE, of_cube((1, 1, 1)))
    found = picked(
        weights=[1, 1, 1, 1], measured=[False, False, False, True], medoid=3, history=history
    )
    assert found == [[0, 0, 0]]


def test_a_measured_mode_becomes_the_best_unmeasured_member() -> None:
    history = history_of(CUBE, of_cube((1, 1, 1), (0, 0, 0)))
    found = picked(
        weights=[1, 3, 2, 9], measured=[False, False, False, True], medoid=3, history=history
    )
    assert found == [[0, 1, 0]]


def test_a_cluster_of_measured_ones_is_left_out() -> None:
    rows = of_cube((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1))
    history = history_of(CUBE, np.concatenate([rows, of_cube((0, 0, 0))]))
    assert picked(weights=[1] * 4, measured=[True] * 4, medoid=0, history=history) == []


def test_a_mode_that_stands_for_another_cluster_is_not_measured_twice() -> None:
    rows = of_cube((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1))
    points = Points(rows, np.array([1, 1, 2, 1, 1.0]), np.arange(5) == 4)
    labels = np.array([0, 1, 1, 1, 1])
    history = history_of(CUBE, rows[4:])
    found = representatives(points, np.array([0, 4]), labels, history)
    assert found[:, 1:].tolist() == [[0, 0, 0], [0, 1, 0]]


def test_synthesis_fires_where_what_is_typical_was_measured() -> None:
    """Candidates differ from a hub in one knob each; what was measured is one move off the hub.

    The medoid is the measured one then, and the mode is the hub, which nobody proposed.
    """
    space = conv2d_space()
    rng = np.random.default_rng(0)
    hubs = space.sample(8, rng)
    history = history_of(space, np.stack([neighbours(space, hub[None])[0] for hub in hubs]))
    spokes = space.unique(np.concatenate([space.mutate(hubs, rng) for _ in range(16)]))
    spokes = spokes[~np.isin(space.keys(spokes), space.keys(hubs)) & ~history.visited(spokes)]
    batch = NO_CHANCE.select(candidates_of(spokes), history, 32, rng)
    made = batch[~np.isin(space.keys(batch), space.keys(spokes))]
    assert np.isin(space.keys(made), space.keys(hubs)).any()
    assert not history.visited(made).any()


def test_without_measurements_the_batch_is_of_candidates() -> None:
    space = conv2d_space()
    rng = np.random.default_rng(0)
    rows = space.sample(200, rng)
    batch = NO_CHANCE.select(candidates_of(rows), History(space), 32, rng)
    assert np.isin(space.keys(batch), space.keys(rows)).all()


@pytest.mark.parametrize("groups", [8, 24])
def test_the_batch_is_as_large_as_the_candidates_are_different(groups: int) -> None:
    space = conv2d_space()
    rng = np.random.default_rng(0)
    centres = space.sample(groups, rng)
    rows = space.unique(
        np.concatenate([centres, *(neighbours(space, c[None])[:6] for c in centres)])
    )
    batch = NO_CHANCE.select(candidates_of(rows), History(space), 64, rng)
    assert len(batch) == groups


def test_the_random_share_is_of_what_is_sent() -> None:
    space = conv2d_space()
    rng = np.random.default_rng(0)
    centres = space.sample(8, rng)
    rows = space.unique(
        np.concatenate([centres, *(neighbours(space, c[None])[:6] for c in centres)])
    )
    batch = AdaptiveSampler(epsilon=0.5).select(candidates_of(rows), History(space), 64, rng)
    proposed = np.isin(space.keys(batch), space.keys(rows)).sum()
    assert proposed < 32
    assert len(batch) == 2 * proposed


def test_anchors_are_the_fastest_that_ran() -> None:
    space = conv2d_space()
    rng = np.random.default_rng(0)
    rows = space.sample(20, rng)
    points = with_anchors(candidates_of(rows[:5]), history_of(space, rows[5:]), 4)
    assert np.array_equal(points.rows, rows[:9])
    assert points.measured.tolist() == [False] * 5 + [True] * 4
    assert points.weights[5:] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4])
