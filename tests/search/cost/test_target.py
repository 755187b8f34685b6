from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.base import TargetOptions, Targets, targets
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, Sketch

SPACE = DesignSpace((Sketch((Choice(tuple(range(100))),)),))


def of(
    *ends: float | Status | tuple[Status, float], options: TargetOptions | None = None
) -> Targets:
    """Targets of outcomes given as seconds, as (status, seconds), or as the status of a failure."""
    history = History(SPACE)
    for number, end in enumerate(ends):
        configuration = Configuration(0, (number,))
        status, samples = Status.OK, ()
        if isinstance(end, Status):
            status = end
        elif isinstance(end, tuple):
            status, samples = end[0], (end[1],)
        else:
            samples = (end,)
        history.extend([Outcome(configuration, configuration, "", status, samples)])
    return targets(history, options or TargetOptions())


def test_scores_are_logs_of_the_speed_relative_to_the_fastest() -> None:
    assert of(2e-3, 1e-3, 4e-3).scores == pytest.approx([-math.log(2), 0, -math.log(4)])


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in (Status.OK, Status.CENSORED)]
)
def test_a_failure_has_no_speed(status: Status) -> None:
    with_failure, without = of(1e-3, status, 8e-3), of(1e-3, 8e-3)
    assert with_failure.scores.tolist() == without.scores.tolist()
    assert with_failure.weights.tolist() == without.weights.tolist()


def test_scores_are_bounded_below() -> None:
    scores = of(1e-6, 1e3, Status.CRASHED, options=TargetOptions(floor=-3.0)).scores
    assert scores.tolist() == [0.0, -3.0]


def test_a_censored_outcome_counts_as_it_is_but_is_no_anchor() -> None:
    scores = of((Status.CENSORED, 1e-4), 1e-3, (Status.CENSORED, 2e-3)).scores
    assert scores == pytest.approx([0.0, 0.0, -math.log(2)])


def test_where_all_are_censored_the_fastest_is_the_anchor() -> None:
    scores = of((Status.CENSORED, 1e-3), (Status.CENSORED, 2e-3)).scores
    assert scores == pytest.approx([0.0, -math.log(2)])


def test_a_clock_that_says_zero_does_no_harm() -> None:
    assert np.isfinite(of(0.0, 1e-3).scores).all()


def test_emphasis_weighs_by_speed() -> None:
    weights = of(1e-3, 4e-3, options=TargetOptions(emphasis=0.5)).weights
    assert weights[0] / weights[1] == pytest.approx(2.0)
    plain = of(1e-3, 4e-3, options=replace(TargetOptions(), emphasis=0.0)).weights
    assert plain.tolist() == [1.0, 1.0]


_ends = st.one_of(
    st.floats(0, 1e10),
    st.sampled_from([Status.REJECTED, Status.CRASHED]),
    st.tuples(st.just(Status.CENSORED), st.floats(0, 1e10)),
)


@given(first=st.floats(0, 1e10), ends=st.lists(_ends, max_size=20))
def test_any_outcomes_give_bounded_targets(
    first: float, ends: list[float | Status | tuple[Status, float]]
) -> None:
    found = of(first, *ends)
    ended = (first, *ends)
    assert len(found.scores) == len([end for end in ended if not isinstance(end, Status)])
    assert (found.scores >= TargetOptions().floor).all()
    assert (found.scores <= 0).all()
    assert (found.weights > 0).all()
    assert found.weights.mean() == pytest.approx(1.0)
    timed = [end for end in ended if not isinstance(end, Status)]
    ran = [end for end in timed if isinstance(end, float)]
    kept = found.scores[[isinstance(end, float) for end in timed]]
    assert (np.diff(kept[np.argsort(ran, kind="stable")]) <= 1e-12).all()
