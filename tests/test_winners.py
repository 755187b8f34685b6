from __future__ import annotations

import math

import pytest

from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.space import Choice, Configuration, DesignSpace, Sketch
from chameleon_tuner.task import Finalist, Task
from chameleon_tuner.tvm.worker import Judged
from chameleon_tuner.winners import (
    OTHER_RIVAL,
    RIVAL,
    TOLERANCE,
    Verdict,
    decide,
    finalists_of,
    reserves_of,
)

SPACE = DesignSpace((Sketch((Choice(tuple(range(9))),)),))
KERNEL = Task("kernel", "k", "", {}, SPACE)
FILTERED = Task("kernel.other", "o", "", {}, SPACE, computes="k")
UNTUNED = Judged((3.0, 1.0, 2.0), 0.0)
A, B, C = (Finalist(KERNEL, Configuration(0, (number,))) for number in range(3))


def history(*seconds: float) -> History:
    """A history of as many configurations as there are times; infinite ones failed."""
    made = History(SPACE)
    for number, secs in enumerate(seconds):
        c = Configuration(0, (number,))
        status = Status.OK if math.isfinite(secs) else Status.RUN_ERROR
        made.extend([Outcome(c, c, f"{number}", status, samples=(secs,))])
    return made


def chosen(finalists: list[Finalist]) -> list[tuple[str, int]]:
    return [(f.task.key, f.configuration.indices[0]) for f in finalists]


def test_the_fastest_are_judged_and_the_fastest_of_each_algorithm_near_them() -> None:
    tasks = [KERNEL, FILTERED]
    histories = {"k": history(5.0, 4.0, 1.9), "o": history(math.inf, 1.6, 2.0)}
    assert chosen(finalists_of(tasks, histories)) == [("k", 2), ("o", 1)]
    histories = {"k": history(5.0, 1.4, 1.3), "o": history(1.1, 1.0)}
    assert chosen(finalists_of(tasks, histories)) == [("k", 2), ("o", 1), ("o", 0)]
    assert finalists_of(tasks, {"k": history(math.inf), "o": history()}) == []


def test_what_is_clearly_slower_is_not_judged() -> None:
    histories = {"k": history(5.0, 4.0, OTHER_RIVAL), "o": history(1.0, 1.0 * RIVAL, 2.0)}
    assert chosen(finalists_of([KERNEL, FILTERED], histories)) == [("o", 0)]


def test_the_fastest_of_each_algorithm_that_were_not_judged_are_the_reserve() -> None:
    tasks = [KERNEL, FILTERED]
    histories = {"k": history(5.0, 4.9, 6.0), "o": history(1.0, 2.0)}
    finalists = finalists_of(tasks, histories)

    def reserves(untuned_secs: float = math.inf) -> list[tuple[str, int]]:
        return chosen(reserves_of(tasks, histories, finalists, untuned_secs))

    assert reserves() == [("o", 1), ("k", 1)]
    assert reserves(untuned_secs=4.9) == [("o", 1)]
    histories = {"k": history(math.inf), "o": history(1.0)}
    assert reserves() == []


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


def test_what_was_refused_before_is_told_with_what_came_of_the_reserve() -> None:
    before = decide([A], [UNTUNED, Judged((0.1,), 0.5)])
    verdict = decide([B], [UNTUNED, Judged((1.0,), 0.0)]).after(before)
    assert verdict.winner == B
    assert len(verdict.refused) == 1
    assert "wrong output" in verdict.refused[0]
    worse = decide([C], [UNTUNED, Judged((1.5,), 0.0)]).after(verdict)
    assert (worse.winner, worse.best_secs) == (B, 1.0)


def test_of_a_comparison_that_failed_the_seconds_of_the_next_are_told() -> None:
    failed = Verdict(None, math.inf, math.inf, ("crashed",))
    slow = decide([A], [UNTUNED, Judged((3.0,), 0.0)])
    assert slow.after(failed).untuned_secs == failed.after(slow).untuned_secs == 2.0
    assert len(slow.after(failed).refused) == 2
