from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from chameleon_tuner.app.judge import (
    OTHER_RIVAL,
    RIVAL,
    TOLERANCE,
    Judgement,
    Settled,
    Verdict,
    decide,
    finalists_of,
    judge_all,
    reserves_of,
    unjudged,
)
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.handler import Failed, Timed
from chameleon_tuner.ports.judge import Final, Finalist
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task

SPACE = DesignSpace((Sketch((Choice(tuple(range(9))),)),))
KERNEL = Task("kernel", "k", "", {}, SPACE)
FILTERED = Task("kernel.other", "o", "", {}, SPACE, computes="k")
UNTUNED = Timed((3.0, 1.0, 2.0), 0.0)
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
    judged = [UNTUNED, Timed((1.5,), 1e-6), Timed((0.5,), 1e-6), Timed((1.0,), 1e-6)]
    verdict = decide([A, B, C], judged)
    assert verdict.winner == B
    assert verdict.best_secs == 0.5
    assert verdict.untuned_secs == 2.0
    assert verdict.refused == ()


@pytest.mark.parametrize("error", [0.1, 1.01 * TOLERANCE, math.nan, math.inf])
def test_a_wrong_one_never_wins(error: float) -> None:
    verdict = decide([A, B], [UNTUNED, Timed((0.1,), error), Timed((1.0,), 1e-6)])
    assert verdict.winner == B
    assert "wrong output" in verdict.refused[0]


def test_a_slower_one_never_wins() -> None:
    verdict = decide([A], [UNTUNED, Timed((2.0,), 0.0)])
    assert verdict.winner is None
    assert verdict.best_secs == verdict.untuned_secs == 2.0
    assert "slower than untuned" in verdict.refused[0]


def test_a_failed_one_never_wins() -> None:
    verdict = decide([A], [UNTUNED, Timed((0.1,), math.nan, "RuntimeError: boom")])
    assert verdict.winner is None
    assert "boom" in verdict.refused[0]


def test_one_that_nobody_checked_never_wins() -> None:
    verdict = decide([A, B], [UNTUNED, Timed((1.0,), 1e-6), Timed((0.9,), None)])
    assert verdict.winner == A


def test_what_was_refused_before_is_told_with_what_came_of_the_reserve() -> None:
    before = decide([A], [UNTUNED, Timed((0.1,), 0.5)])
    verdict = decide([B], [UNTUNED, Timed((1.0,), 0.0)]).after(before)
    assert verdict.winner == B
    assert len(verdict.refused) == 1
    assert "wrong output" in verdict.refused[0]
    worse = decide([C], [UNTUNED, Timed((1.5,), 0.0)]).after(verdict)
    assert (worse.winner, worse.best_secs) == (B, 1.0)


def test_of_a_comparison_that_failed_the_seconds_of_the_next_are_told() -> None:
    failed = Verdict(None, math.inf, math.inf, ("crashed",))
    slow = decide([A], [UNTUNED, Timed((3.0,), 0.0)])
    assert slow.after(failed).untuned_secs == failed.after(slow).untuned_secs == 2.0
    assert len(slow.after(failed).refused) == 2


# -- whose finals are made

RIGHT, WRONG = 0.0, 0.5
CRASH = Failed(Status.CRASHED, "SIGSEGV during judge", fatal=True)


class Judges:
    """A measurer whose finalists are as right as the algorithm; crashes where one is to."""

    def __init__(self, errors: dict[str, float | Failed]) -> None:
        self._errors = errors
        self.asked: list[list[str]] = []

    def judge(self, finals: Sequence[Final], tolerance: float) -> Iterator[list[Timed] | Failed]:
        for final in finals:
            keys = [finalist.task.key for finalist in final.finalists]
            self.asked.append(keys)
            crash = next((e for k in keys if isinstance(e := self._errors[k], Failed)), None)
            judged = [Timed((0.5,), self._errors[key]) for key in keys if crash is None]  # type: ignore[arg-type]
            yield crash or [Timed((4.0,), RIGHT), *judged]


def test_the_heavy_finals_come_first() -> None:
    """Those that take equally long are side by side."""
    tasks = [replace(KERNEL, key=key, flops=flops) for key, flops in (("a", 1), ("b", 3), ("c", 2))]
    judges = Judges(dict.fromkeys("abc", RIGHT))
    kernels, histories = {task.key: [task] for task in tasks}, dict.fromkeys("abc", history(1.0))
    made: list[Judgement] = []
    verdicts = dict(judge_all(judges, kernels, histories, made.append))
    assert judges.asked == [["b"], ["c"], ["a"]]
    assert all(verdicts[key].winner.task.key == key for key in "abc")


@pytest.mark.parametrize(
    ("errors", "seconds", "asked", "winner"),
    [
        ({"k": RIGHT, "o": RIGHT}, {"k": 3.0, "o": 1.0}, [["o"]], "o"),
        ({"k": RIGHT, "o": WRONG}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], "k"),
        ({"k": RIGHT, "o": CRASH}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], "k"),
        ({"k": RIGHT, "o": CRASH}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], "k"),
        ({"k": CRASH, "o": RIGHT}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], "o"),
        ({"k": CRASH, "o": CRASH}, {"k": 1.1, "o": 1.0}, [["k", "o"], ["k"], ["o"]], None),
        ({"k": WRONG, "o": WRONG}, {"k": 3.0, "o": 1.0}, [["o"], ["k"]], None),
        ({"k": WRONG, "o": WRONG}, {"k": 1.1, "o": 1.0}, [["k", "o"]], None),
    ],
)
def test_another_algorithm_stands_in_for_one_that_is_wrong(
    errors: dict[str, float | Failed],
    seconds: dict[str, float],
    asked: list[list[str]],
    winner: str | None,
) -> None:
    judges, histories = Judges(errors), {key: history(secs) for key, secs in seconds.items()}
    made: list[Judgement] = []
    [(key, verdict)] = judge_all(judges, {"k": [KERNEL, FILTERED]}, histories, made.append)
    assert (key, judges.asked) == ("k", asked)
    assert (verdict.winner.task.key if verdict.winner else None) == winner
    assert len(made) == len(asked)  # every comparison is there for the records
    assert bool(verdict.refused) is (len(asked) > 1 or winner is None)


def test_without_time_a_candidate_wins_that_was_faster_than_by_default() -> None:
    histories = {"k": history(2.0, 1.5)}
    verdict = unjudged([KERNEL], histories, 1.6)
    assert (verdict.winner, verdict.best_secs, verdict.untuned_secs) == (B, 1.5, 1.6)
    assert not verdict.judged
    verdict = unjudged([KERNEL], histories, 1.4)
    assert (verdict.winner, verdict.best_secs, verdict.judged) == (None, 1.4, False)
    assert verdict.refused == ("slower than by default: 1.5e+06 us, 1.4e+06 us",)
    verdict = unjudged([KERNEL], {"k": history(math.inf)}, 1.4)
    assert (verdict.winner, verdict.best_secs, verdict.refused) == (None, 1.4, ())


def test_without_time_no_other_algorithm_wins() -> None:
    histories = {"k": history(2.0), "o": history(1.0)}
    verdict = unjudged([KERNEL, FILTERED], histories, math.inf)
    assert verdict.winner is not None
    assert verdict.winner.task == KERNEL


def test_candidates_that_were_clearly_slower_than_by_default_are_not_compared() -> None:
    tasks = [replace(KERNEL, key=key) for key in "ab"]
    judges = Judges(dict.fromkeys("ab", RIGHT))
    kernels, histories = {task.key: [task] for task in tasks}, dict.fromkeys("ab", history(1.3))
    verdicts = dict(judge_all(judges, kernels, histories, [].append, {"a": 1.0, "b": 1.1}))
    assert judges.asked == [["b"]]
    assert (verdicts["a"].winner, verdicts["a"].best_secs, verdicts["a"].judged) == (
        None,
        1.0,
        True,
    )


def test_the_heavy_finals_are_made_while_there_is_time() -> None:
    tasks = [replace(KERNEL, key=key, flops=flops) for key, flops in (("a", 1), ("b", 3), ("c", 2))]
    judges, made = Judges(dict.fromkeys("abc", RIGHT)), list[Judgement]()
    kernels, histories = {task.key: [task] for task in tasks}, dict.fromkeys("abc", history(1.0))
    enough = {"out_of_time": lambda: len(made) == 2}
    verdicts = dict(judge_all(judges, kernels, histories, made.append, **enough))
    assert judges.asked == [["b"], ["c"]]
    assert [verdicts[key].judged for key in "abc"] == [False, True, True]


# -- winners of earlier runs


def test_a_settled_winner_is_compared_alone() -> None:
    histories = {"k": history(1.0, 1.01, 1.02), "o": history(1.03)}
    judges = Judges({"k": RIGHT, "o": RIGHT})
    kernels = {"k": [KERNEL, FILTERED]}
    settled = {"k": Settled(C, 0.9)}
    [(_, verdict)] = judge_all(judges, kernels, histories, [].append, settled=settled)
    assert judges.asked == [["k"]]
    assert (verdict.winner, verdict.judged) == (C, True)


def test_a_settled_winner_that_is_wrong_now_gives_way_to_the_others() -> None:
    histories = {"k": history(1.0), "o": history(1.2)}
    judges = Judges({"k": RIGHT, "o": WRONG})
    other = Finalist(FILTERED, Configuration(0, (0,)))
    [(_, verdict)] = judge_all(
        judges,
        {"k": [KERNEL, FILTERED]},
        histories,
        [].append,
        settled={"k": Settled(other, 0.5)},
    )
    assert judges.asked == [["o"], ["k"]]
    assert verdict.winner == A


def test_briefly_only_other_algorithms_are_compared() -> None:
    tasks = [replace(KERNEL, key=key) for key in "abc"]
    filtered = replace(FILTERED, computes="c", key="o")
    kernels = {"a": [tasks[0]], "b": [tasks[1]], "c": [tasks[2], filtered]}
    histories = {"a": history(2.0, 1.0), "b": history(2.0), "c": history(3.0), "o": history(1.0)}
    judges = Judges({"o": RIGHT, "c": RIGHT, "b": RIGHT, "a": RIGHT})
    settled = {"b": Settled(Finalist(tasks[1], Configuration(0, (0,))), 0.7)}
    verdicts = dict(judge_all(judges, kernels, histories, [].append, settled=settled, briefly=True))
    assert judges.asked == [["o"]]  # what loses digits is checked
    told = {key: (v.winner.task.key, v.best_secs, v.judged) for key, v in verdicts.items()}
    assert told["a"] == ("a", 1.0, False)
    assert told["b"] == ("b", 0.7, False)
    assert (told["c"][0], told["c"][2]) == ("o", True)
