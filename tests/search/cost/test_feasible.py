from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.feasible import LEAST, Feasibility
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.space import IntArray
from chameleon_tuner.testing.landscapes import Bowl, constrained_space, measure

SPACE = constrained_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])
TILE = 3
"""The column of a knob with eight values; what has one of the upper four is refused."""


def refused(outcome: Outcome) -> Outcome:
    return replace(outcome, status=Status.REJECTED, samples=())


def measured(rows: IntArray, refuse: bool) -> History:
    history = History(SPACE)
    outcomes = measure(BOWL, rows)
    bad = rows[:, TILE] >= 4
    history.extend([refused(o) if refuse and b else o for o, b in zip(outcomes, bad, strict=True)])
    return history


ROWS = SPACE.unique(SPACE.sample(200, np.random.default_rng(0)))
OTHERS = SPACE.sample(300, np.random.default_rng(1))


def test_what_is_refused_is_unlikely_to_run() -> None:
    model, history = Feasibility(), measured(ROWS, refuse=True)
    ran = np.isfinite(history.seconds)
    model.fit(SPACE.encode(history.rows), ran, np.random.default_rng(0))
    chance = model.chance(SPACE.encode(OTHERS))
    bad = OTHERS[:, TILE] >= 4
    assert chance[bad].mean() < 0.15
    assert chance[~bad].mean() > 0.85
    assert (chance >= LEAST).all()
    assert (chance <= 1).all()


def test_where_all_ran_everything_is_certain_and_no_number_is_drawn() -> None:
    model, rng = Feasibility(), np.random.default_rng(0)
    model.fit(SPACE.encode(ROWS), np.ones(len(ROWS), dtype=bool), rng)
    assert (model.chance(SPACE.encode(OTHERS)) == 1).all()
    assert rng.random() == np.random.default_rng(0).random()


def test_a_rejection_never_lowers_the_predicted_speed() -> None:
    """The speed is that of a model that has seen only what ran; the chance is apart."""
    model, apart = TreeSurrogate(SPACE), TreeSurrogate(SPACE)
    history = measured(ROWS, refuse=True)
    kept = History(SPACE)
    kept.extend([outcome for outcome in history.outcomes if outcome.status is Status.OK])
    model.fit(history)
    apart.fit(kept)
    chance = Feasibility()
    chance.fit(SPACE.encode(history.rows), np.isfinite(history.seconds), np.random.default_rng(0))
    near = OTHERS[chance.chance(SPACE.encode(OTHERS)) > 0.95]
    found, expected = model.predict(near).mean, apart.predict(near).mean
    assert np.corrcoef(found, expected)[0, 1] > 0.9


@pytest.mark.parametrize("status", [Status.REJECTED, Status.BUILD_ERROR, Status.CRASHED])
def test_the_score_is_that_of_the_expected_speed(status: Status) -> None:
    history = measured(ROWS, refuse=True)
    again = History(SPACE)
    failed = [o if o.status is Status.OK else replace(o, status=status) for o in history.outcomes]
    again.extend(failed)
    model = TreeSurrogate(SPACE)
    model.fit(again)
    bad = OTHERS[:, TILE] >= 4
    scores, truth = model.predict(OTHERS).mean, BOWL.score(OTHERS)
    assert (scores - truth)[bad].mean() < (scores - truth)[~bad].mean() - 1
