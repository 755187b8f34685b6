from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.building import GROWTH, LONG, PRICE, BuildCost, building_targets
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray, Sketch, Tile

SPACE = DesignSpace((Sketch((Tile(4096, 2, 4096), Tile(4096, 2, 4096))),))


@pytest.fixture
def history() -> History:
    """All run in a millisecond; a first tile's inner size above 512 takes 2 s to build, not 0.1."""
    rows = SPACE.unique(SPACE.sample(150, np.random.default_rng(1)))
    made = History(SPACE)
    made.extend(
        [
            Outcome(c, c, str(c), Status.OK, (1e-3,), build_secs=2.0 if slow else 0.1)
            for c, slow in zip(SPACE.configurations(rows), _slow(rows), strict=True)
        ]
    )
    return made


def _slow(rows: IntArray) -> list[bool]:
    inner = [SPACE.sketches[0].knobs[0].value_at(index)[1] for index in rows[:, 1]]
    return [size > 512 for size in inner]


def test_long_builds_lose_by_the_price(history: History) -> None:
    building = BuildCost(SPACE)
    building.fit(history, np.random.default_rng(0))
    rows = SPACE.unique(SPACE.sample(80, np.random.default_rng(2)))
    loss, slow = building.loss(SPACE.encode(rows)), np.array(_slow(rows))
    assert loss[~slow] == pytest.approx(0.0, abs=0.05)
    assert loss[slow] == pytest.approx(PRICE * math.log(2.0 / 0.1 / LONG), abs=0.1)


def test_nothing_costs_while_nothing_is_known() -> None:
    building = BuildCost(SPACE)
    features = SPACE.encode(SPACE.sample(9, np.random.default_rng(0)))
    assert not building.loss(features).any()
    building.fit(History(SPACE), np.random.default_rng(0))
    assert not building.loss(features).any()


def test_what_was_not_built_here_teaches_nothing() -> None:
    (configuration,) = SPACE.configurations(SPACE.sample(1, np.random.default_rng(0)))
    recorded = History(SPACE)
    recorded.extend([Outcome(configuration, configuration, "a", Status.OK, (1e-3,))])
    assert building_targets(recorded) is None


@pytest.mark.parametrize("status", [Status.REJECTED, Status.BUILD_ERROR])
def test_what_was_not_built_to_the_end_teaches_nothing(status: Status, history: History) -> None:
    building, features = BuildCost(SPACE), SPACE.encode(history.rows)
    building.fit(history, np.random.default_rng(0))
    before = building.loss(features)
    rows = SPACE.sample(300, np.random.default_rng(5))
    history.extend(
        [Outcome(c, c, f"refused {c}", status, build_secs=0.01) for c in SPACE.configurations(rows)]
    )
    building.fit(history, np.random.default_rng(0))
    assert np.array_equal(building.loss(features), before)


def test_it_learns_anew_when_there_is_a_good_deal_more_or_another_history(history: History) -> None:
    def part(count: int) -> History:
        made = History(SPACE)
        made.extend(history.outcomes[:count])
        return made

    building, features = BuildCost(SPACE), SPACE.encode(history.rows)

    def learned(count: int) -> list[float]:
        building.fit(part(count), np.random.default_rng(0))
        found: list[float] = building.loss(features).tolist()
        return found

    forty = learned(40)
    assert learned(math.ceil(40 * GROWTH) - 1) == forty
    fifty = learned(math.ceil(40 * GROWTH))
    assert fifty != forty
    assert learned(40) == forty


def test_what_ran_into_the_limit_takes_long(history: History) -> None:
    timeouts = History(SPACE)
    timeouts.extend(
        [
            replace(outcome, status=Status.TIMEOUT, samples=()) if slow else outcome
            for outcome, slow in zip(history.outcomes, _slow(history.rows), strict=True)
        ]
    )
    building, same = BuildCost(SPACE), BuildCost(SPACE)
    building.fit(timeouts, np.random.default_rng(0))
    same.fit(history, np.random.default_rng(0))
    features = SPACE.encode(history.rows)
    assert np.array_equal(building.loss(features), same.loss(features))


def test_of_equally_fast_candidates_the_quickly_built_score_more(history: History) -> None:
    model = TreeSurrogate(SPACE, building=BuildCost(SPACE))
    model.fit(history)
    rows = SPACE.unique(SPACE.sample(80, np.random.default_rng(2)))
    slow, scores = np.array(_slow(rows)), model.predict(rows).mean
    assert scores[slow].max() < scores[~slow].min()
