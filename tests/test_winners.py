from __future__ import annotations

import math

import pytest

from chameleon_tuner.space import Configuration
from chameleon_tuner.tvm.worker import Judged
from chameleon_tuner.winners import TOLERANCE, decide

UNTUNED = Judged((3.0, 1.0, 2.0), 0.0)
A, B, C = (Configuration(0, (number,)) for number in range(3))


def test_the_fastest_right_one_wins() -> None:
    judged = [UNTUNED, Judged((1.5,), 1e-6), Judged((0.5,), 1e-6), Judged((1.0,), 1e-6)]
    verdict = decide([A, B, C], judged)
    assert verdict.winner == B
    assert verdict.best_secs == 0.5
    assert verdict.untuned_secs == 2.0
    assert verdict.refused == ()


@pytest.mark.parametrize("error", [0.1, 1.01 * TOLERANCE, math.nan, math.inf])
def test_a_wrong_one_never_wins(error: float) -> None:
    verdict = decide([A, B], [UNTUNED, Judged((0.1,), error), Judged((1.0,), 1e-6)])
    assert verdict.winner == B
    assert "wrong output" in verdict.refused[0]


def test_a_slower_one_never_wins() -> None:
    verdict = decide([A], [UNTUNED, Judged((2.0,), 0.0)])
    assert verdict.winner is None
    assert verdict.best_secs == verdict.untuned_secs == 2.0
    assert "slower than untuned" in verdict.refused[0]


def test_a_failed_one_never_wins() -> None:
    verdict = decide([A], [UNTUNED, Judged((0.1,), math.nan, "RuntimeError: boom")])
    assert verdict.winner is None
    assert "boom" in verdict.refused[0]


def test_one_that_nobody_checked_never_wins() -> None:
    verdict = decide([A, B], [UNTUNED, Judged((1.0,), 1e-6), Judged((0.9,), None)])
    assert verdict.winner == A


def test_a_winner_can_be_dropped() -> None:
    verdict = decide([A], [UNTUNED, Judged((1.0,), 0.0)]).dropped("no")
    assert verdict.winner is None
    assert verdict.best_secs == 2.0
    assert verdict.refused == ("no",)
