"""What one convolution is fastest with is tried first in the one that differs by its residual."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chameleon_tuner.core.outcome import Status
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.composed import MOST, MOST_CARRIED, WithTwins
from chameleon_tuner.search.explore.evolutionary import EvolutionaryExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.recipes import RECIPES, task_search
from chameleon_tuner.space import DesignSpace, Knob, Sketch, Tile
from chameleon_tuner.space.carry import carried
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import Bowl, Oracle, conv2d_space, measure

SPACE = conv2d_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])
MODEL = Oracle(BOWL)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def measured(count: int, seed: int = 1) -> History:
    history = History(SPACE)
    history.extend(measure(BOWL, SPACE.sample(count, np.random.default_rng(seed))))
    return history


def proposed(history: History, *twins: History) -> Candidates:
    shared = SharedRecords()
    for one in (history, *twins):
        shared.join(Lessons(one, TargetOptions()))
    return WithTwins(EvolutionaryExplorer(), shared).propose(SPACE, MODEL, history, rng())


def test_the_twins_fastest_come_first_with_what_they_measured() -> None:
    twin = measured(20)
    found = proposed(History(SPACE), twin)
    assert np.array_equal(found.rows[:MOST], twin.ranked()[:MOST])
    fastest = np.sort(twin.seconds)[:MOST]
    np.testing.assert_allclose(found.scores[:MOST], np.log(fastest[0] / fastest))
    assert len(SPACE.unique(found.rows)) == len(found) > 64


def test_two_twins_with_the_same_fastest_propose_it_once() -> None:
    found = proposed(History(SPACE), measured(20), measured(20))
    assert len(SPACE.unique(found.rows)) == len(found)


def test_what_was_measured_is_not_proposed_again() -> None:
    twin, mine = measured(20), History(SPACE)
    mine.extend(measure(BOWL, twin.ranked()[:2]))
    found = proposed(mine, twin)
    assert not mine.visited(found.rows).any()
    assert np.array_equal(found.rows[0], twin.ranked()[2])


def of_other_extents() -> History:
    """A task with the features of the others, and as many of each knob."""

    def twice(knob: Knob) -> Knob:
        return replace(knob, extent=2 * knob.extent) if isinstance(knob, Tile) else knob

    larger = DesignSpace(tuple(Sketch(tuple(map(twice, s.knobs))) for s in SPACE.sketches))
    assert larger.feature_names == SPACE.feature_names
    history = History(larger)
    rows = larger.sample(20, np.random.default_rng(1))
    history.extend(measure(Bowl(larger, rows[0]), rows))
    return history


def test_without_a_twin_that_ran_it_is_the_other_explorer() -> None:
    alone = EvolutionaryExplorer().propose(SPACE, MODEL, History(SPACE), rng())
    found = proposed(History(SPACE), History(SPACE))
    assert np.array_equal(found.rows, alone.rows)


def test_what_is_fast_in_other_extents_is_carried_over_before_anything_was_measured() -> None:
    other = of_other_extents()
    nearest = SPACE.unique(carried(other.ranked()[:MOST_CARRIED], other.space, SPACE))
    found = proposed(History(SPACE), other)
    assert np.isin(SPACE.keys(nearest), SPACE.keys(found.rows)).sum() == MOST
    mine = measured(5)
    alone = EvolutionaryExplorer().propose(SPACE, MODEL, mine, rng())
    assert np.array_equal(proposed(mine, other).rows, alone.rows)


def test_many_twins_together_add_no_more_than_one() -> None:
    twins = [measured(20, seed) for seed in range(1, 6)]
    alone = EvolutionaryExplorer().propose(SPACE, MODEL, History(SPACE), rng())
    found = proposed(History(SPACE), *twins)
    fastest = SPACE.configurations(np.stack([twin.ranked()[0] for twin in twins]))
    assert set(SPACE.configurations(found.rows[:MOST])) < set(fastest)
    assert len(found) <= len(alone) + MOST


def test_a_networks_tasks_try_what_is_fastest_in_their_twins() -> None:
    """With the model that they share, and the sampler's choice."""
    shared = SharedRecords()
    tasks = [Task(name, name, "", {}, SPACE) for name in ("plain", "residual")]
    first, second = (task_search(task, RECIPES["chameleon"], 0, shared) for task in tasks)
    first.model.fit(first.history)
    first.history.extend(measure(BOWL, SPACE.sample(40, rng())))
    second.model.fit(second.history)
    candidates = second.explorer.propose(SPACE, second.model, second.history, second.rng)
    batch = second.sampler.select(candidates, second.history, 16, second.rng)
    assert first.history.best is not None
    assert first.history.best.status is Status.OK
    assert first.history.best.configuration in SPACE.configurations(batch)
