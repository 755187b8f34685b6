"""A winner is right, and faster than the default configuration in more rounds than chance has."""

from __future__ import annotations

import math

import pytest

from chameleon_tuner.app.program import tune
from chameleon_tuner.app.program.final import decided
from chameleon_tuner.backends.program.handler import DefaultTimes
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Timed
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.space import parameter_space
from chameleon_tuner.space.task import Task

TASK = Task("toy", "toy", "", {}, parameter_space({"a": [1, 2, 3]}))
FINALISTS = [Finalist(TASK, Configuration(0, (n,))) for n in range(3)]
DEFAULT = Timed((10.0,) * 7, 0.0)


def winner(*judged: Timed, default: Timed = DEFAULT) -> int | None:
    verdict = decided(FINALISTS[: len(judged)], [default, *judged])
    assert (verdict.winner is None) == (verdict.best_secs == verdict.untuned_secs)
    return None if verdict.winner is None else FINALISTS.index(verdict.winner)


def test_the_fastest_wins() -> None:
    assert winner(Timed((8.0,) * 7, 0.0), Timed((7.0,) * 7, 0.0), Timed((9.0,) * 7, None)) == 1


def test_one_that_failed_never_wins() -> None:
    assert winner(Timed((), None, "wrong output: line 1"), Timed((9.0,) * 7, 0.0)) == 1
    verdict = decided(FINALISTS[:1], [DEFAULT, Timed((), None, "wrong output: line 1")])
    assert verdict.refused == ("wrong output: line 1",)


@pytest.mark.parametrize(("faster", "wins"), [(7, True), (6, True), (5, False), (4, False)])
def test_a_smaller_median_alone_may_be_noise(faster: int, wins: bool) -> None:
    samples = (9.9,) * faster + (10.1,) * (7 - faster)
    assert winner(Timed(samples, 0.0)) == (0 if wins else None)


def test_as_fast_is_not_faster() -> None:
    assert winner(DEFAULT) is None
    assert winner() is None


def test_a_default_that_failed_is_beaten_by_what_runs() -> None:
    assert winner(Timed((8.0,), 0.0), default=Timed((), None, "crashed")) == 0
    assert math.isinf(decided([], [Timed((), None, "crashed")]).best_secs)


@pytest.mark.parametrize(
    ("total_secs", "wall_secs", "finalists"),
    [
        (math.inf, 30.0, tune.FINALISTS),
        (600.0, 0.1, tune.FINALISTS),
        (600.0, 15.0, 2),
        (120.0, 30.0, 1),
    ],
)
def test_finalists_fit_into_the_time(total_secs: float, wall_secs: float, finalists: int) -> None:
    times = DefaultTimes(1.0, (0.001,), (wall_secs,))
    assert tune.affordable_finalists(total_secs, times) == finalists
