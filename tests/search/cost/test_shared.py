from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import MOST_RECORDS, WORTH, Lessons, SharedRecords
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, Sketch, Tile
from chameleon_tuner.testing.landscapes import Bowl, measure, tiny_space, two_sketch_space

SPACE = two_sketch_space()


def of_extent(extent: int) -> DesignSpace:
    return DesignSpace((Sketch((Tile(extent, 3, 16), Tile(2 * extent, 2, 16))),))


def lessons(space: DesignSpace, count: int, seed: int = 0) -> Lessons:
    rng = np.random.default_rng(seed)
    history = History(space)
    history.extend(measure(Bowl(space, space.sample(1, rng)[0]), space.sample(count, rng)))
    return Lessons(history, TargetOptions())


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_history_that_grows_teaches_more_and_a_failure_alone_nothing() -> None:
    mine = lessons(SPACE, 0)
    assert mine.known() is None
    [one] = SPACE.configurations(SPACE.sample(1, rng()))
    mine.history.extend([Outcome(one, one, "", Status.BUILD_ERROR)])
    assert mine.known() is None
    mine.history.extend(measure(Bowl(SPACE, SPACE.sample(1, rng())[0]), SPACE.sample(4, rng())))
    known = mine.known()
    assert known is not None
    features, targets = known
    assert len(features) == len(targets.scores) == len(mine.history) - 1 > 1
    np.testing.assert_array_equal(features, SPACE.encode(mine.history.ran))


def test_alone_a_task_has_its_own() -> None:
    shared, mine = SharedRecords(), lessons(SPACE, 8)
    shared.join(mine)
    assert shared.with_others(mine, rng()) is mine.known()


def test_who_has_left_teaches_nobody() -> None:
    shared, mine, other = SharedRecords(), lessons(SPACE, 8), lessons(SPACE, 8, seed=1)
    shared.join(mine)
    shared.join(other)
    assert list(shared.twins(mine.history)) == [other.history]
    shared.leave(other)
    assert shared.with_others(mine, rng()) is mine.known()
    assert list(shared.twins(mine.history)) == []


def test_others_tell_what_they_measured_last_without_being_asked_to_fit() -> None:
    shared, mine, other = SharedRecords(), lessons(SPACE, 0), lessons(SPACE, 0, seed=1)
    shared.join(mine)
    shared.join(other)
    assert shared.with_others(mine, rng()) is None
    other.history.extend(lessons(SPACE, 12, seed=2).history.outcomes)
    found = shared.with_others(mine, rng())
    assert found is not None
    assert len(found[0]) == len(other.history)


def test_the_others_weigh_as_much_as_a_batch_and_there_are_not_too_many() -> None:
    shared, mine, other = SharedRecords(), lessons(SPACE, 10), lessons(SPACE, 900, seed=1)
    shared.join(mine)
    shared.join(other)
    assert len(other.history) > MOST_RECORDS
    found = shared.with_others(mine, rng())
    assert found is not None
    own = len(mine.history)
    assert len(found[0]) == own + MOST_RECORDS
    assert found[1].weights[own:].sum() == pytest.approx(WORTH)
    np.testing.assert_allclose(found[1].weights[:own].mean(), 1.0)


def test_sizes_may_differ_where_the_model_learns_and_not_among_twins() -> None:
    shared = SharedRecords()
    mine, larger = lessons(of_extent(16), 6), lessons(of_extent(32), 6)
    for one in (mine, larger, lessons(tiny_space(), 6)):
        shared.join(one)
    found = shared.with_others(mine, rng())
    assert found is not None
    assert len(found[0]) == len(mine.history) + len(larger.history)
    assert list(shared.twins(mine.history)) == []
    twin = lessons(of_extent(16), 6, seed=1)
    shared.join(twin)
    assert list(shared.twins(mine.history)) == [twin.history]
