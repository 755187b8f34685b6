"""Naming the winner of a kernel: right, and faster than the untuned kernel, or nobody."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from chameleon_tuner.core.agreement import TOLERANCE
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import Failed, Timed
from chameleon_tuner.ports.judge import Final, Finalist, Judge, Judged
from chameleon_tuner.search.history import History
from chameleon_tuner.space.task import Task

FINALISTS = 2
"""Number of the fastest candidates that are measured again; timings of the search are within some
percent."""

RIVAL = 1.25
"""Candidates slower than this multiple of the fastest are not finalists: their one timing was
enough for the search to go on (`TimingPolicy.slow_factor`)."""

OTHER_RIVAL = 1.5
"""The same multiple for the fastest candidate of another algorithm: the two were timed at different
moments, and a busy neighbour slows a machine by half."""


@dataclass(frozen=True)
class Verdict:
    """The result of a kernel's final comparison.

    Attributes:
        winner: The candidate that the tuned model has; None keeps the untuned kernel, which has a
            default schedule.
        best_secs: Seconds of the kernel that the tuned model has, in the final comparison.
        untuned_secs: Seconds of the untuned kernel, in the same comparison.
        refused: Why finalists did not win, one line each.
        judged: Whether there was time for the comparison; without it the seconds are those of the
            search, or infinite, and the output was not checked by itself.
    """

    winner: Finalist | None
    best_secs: float
    untuned_secs: float
    refused: tuple[str, ...] = ()
    judged: bool = True

    def after(self, before: Verdict) -> Verdict:
        """Return the better of two verdicts on a kernel, with what either of them refused."""
        better = min(before, self, key=lambda verdict: (verdict.winner is None, verdict.best_secs))
        return replace(better, refused=(*before.refused, *self.refused))


@dataclass(frozen=True)
class Settled:
    """The winner of an earlier final comparison, with its seconds in it."""

    winner: Finalist
    secs: float


@dataclass(frozen=True)
class Judgement:
    """A final comparison that was made, for the records.

    Attributes:
        final: The comparison.
        judged: Its result.
    """

    final: Final
    judged: Judged


def judge_all(
    judge: Judge,
    kernels: Mapping[str, Sequence[Task]],
    histories: Mapping[str, History],
    record: Callable[[Judgement], None],
    defaults: Mapping[str, float] | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
    settled: Mapping[str, Settled] | None = None,
    *,
    briefly: bool = False,
) -> Iterator[tuple[str, Verdict]]:
    """Compare the fastest candidates of every kernel with the untuned one; see `decide`.

    Kernels for which there is no time, or whose candidates were clearly slower than the default
    schedule, have what the search found, see `unjudged`.

    Args:
        judge: Makes the comparisons.
        kernels: Tasks that compute the same, the kernel's own first, by key of the kernel.
        histories: What was measured, by key of the task.
        record: Is called with every comparison as soon as it was made.
        defaults: Seconds of kernels with their default schedules, as far as they are known.
        out_of_time: Returns whether no more comparison should begin.
        settled: The only finalists of kernels whose winners are known, by key of the kernel.
        briefly: Whether kernels are only compared where the fastest candidate is of another
            algorithm, which has to be checked, and was not checked before.

    Yields:
        The key of a kernel and its verdict, as they come.
    """
    # The heavy ones first: they matter most, and finals that take equally long share the cores.
    by_size = sorted(kernels.items(), key=lambda kernel: -kernel[1][0].flops)
    known, won = defaults or {}, settled or {}
    finals: dict[str, Final] = {}
    for key, mine in by_size:
        default_secs = known.get(key, math.inf)
        if _hopeless(mine, histories, default_secs):
            yield key, replace(unjudged(mine, histories, default_secs), judged=True)
        elif briefly and (early := _at_once(mine, histories, default_secs, won.get(key))):
            yield key, early
        else:
            finalists = [won[key].winner] if key in won else finalists_of(mine, histories)
            finals[key] = Final(mine[0], finalists)
    lost: dict[str, Verdict] = {}
    reserves: list[tuple[str, Final]] = []
    judged = judge.judge(list(finals.values()), TOLERANCE)
    for key, final in finals.items():
        if out_of_time():
            yield key, unjudged(kernels[key], histories, known.get(key, math.inf))
            continue
        found = next(judged)
        record(Judgement(final, found))
        verdict, again = _verdict(final, found), list[Finalist]()
        if verdict.winner is None:
            again = reserves_of(kernels[key], histories, final.finalists, verdict.untuned_secs)
            if isinstance(found, Failed) and len(final.finalists) > 1:
                again = [*final.finalists, *again]  # any of them may have been the cause
        if again:
            lost[key] = verdict
            reserves += [(key, Final(final.task, [one])) for one in again]  # each on its own
        else:
            yield key, verdict
    judged = judge.judge([final for _, final in reserves], TOLERANCE)
    for (key, final), found in zip(reserves, judged, strict=True):
        record(Judgement(final, found))
        lost[key] = _verdict(final, found).after(lost[key])
    yield from lost.items()


def _hopeless(tasks: Sequence[Task], histories: Mapping[str, History], default_secs: float) -> bool:
    """Return whether all candidates of a kernel were clearly slower than the default schedule."""
    ran = _by_speed(tasks, histories)
    return math.isfinite(default_secs) and all(secs > RIVAL * default_secs for secs, _ in ran)


def _at_once(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    default_secs: float,
    won: Settled | None,
) -> Verdict | None:
    """Return the verdict on a kernel without a comparison; None where one is needed.

    The fastest candidate needs one if it is of another algorithm, which has to be checked.
    """
    if won is not None:
        return Verdict(won.winner, won.secs, default_secs, judged=False)
    checked = all(not one.task.computes for _, one in _by_speed(tasks, histories)[:1])
    return unjudged(tasks, histories, default_secs) if checked else None


def unjudged(
    tasks: Sequence[Task], histories: Mapping[str, History], default_secs: float
) -> Verdict:
    """Return what is deployed of a kernel without a comparison: it is checked in the whole model.

    Candidates of other algorithms are not: they may lose digits.

    Args:
        tasks: Tasks that compute the kernel.
        histories: What was measured, by key of the task.
        default_secs: Seconds of the kernel with its default schedule; infinite if not known.

    Returns:
        The fastest candidate if it was faster than the default schedule, and otherwise nobody.
    """
    ran = _by_speed([task for task in tasks if not task.computes], histories)
    if ran and ran[0][0] < default_secs:
        return Verdict(ran[0][1], ran[0][0], default_secs, judged=False)
    refused = tuple(
        f"slower than by default: {secs * 1e6:.4g} us, {default_secs * 1e6:.4g} us"
        for secs, _ in ran[:1]
    )
    return Verdict(None, default_secs, default_secs, refused, judged=False)


def _verdict(final: Final, found: Judged) -> Verdict:
    if isinstance(found, Failed):
        reason = f"the final comparison failed ({found.status.value}): {found}"
        return Verdict(None, math.inf, math.inf, (reason,))
    return decide(final.finalists, found)


def decide(finalists: Sequence[Finalist], timed: Sequence[Timed]) -> Verdict:
    """Choose among finalists that were compared with the untuned kernel.

    Args:
        finalists: The finalists in any order.
        timed: The untuned kernel, then the finalists.

    Returns:
        The verdict: the fastest finalist whose output is right, if it is faster than the untuned
        kernel.
    """
    untuned_secs = _median(timed[0])
    best = untuned_secs
    winner: Finalist | None = None
    refused = []
    for finalist, kernel in zip(finalists, timed[1:], strict=True):
        if kernel.message:
            refused.append(f"failed in the final comparison: {kernel.message}")
        elif kernel.error is None:
            continue  # slower than one that is right
        elif not kernel.error <= TOLERANCE:  # nan is not
            refused.append(f"wrong output: differs by {kernel.error:.2g} of the largest value")
        elif _median(kernel) >= untuned_secs:
            refused.append(
                f"slower than untuned: {_median(kernel) * 1e6:.4g} us, "
                f"untuned {untuned_secs * 1e6:.4g} us"
            )
        elif _median(kernel) < best:
            best, winner = _median(kernel), finalist
    return Verdict(winner, best, untuned_secs, tuple(refused))


def _median(kernel: Timed) -> float:
    return statistics.median(kernel.samples) if kernel.samples else math.inf


# -- who takes part


def finalists_of(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    most: int = FINALISTS,
    rival: float = RIVAL,
) -> list[Finalist]:
    """Return the fastest candidates of a kernel, and the fastest of every algorithm near them.

    Args:
        tasks: Tasks that compute the kernel.
        histories: What was measured, by key of the task.
        most: Number of the fastest candidates.
        rival: Those slower than this multiple of the fastest are left out.

    Returns:
        The finalists, those of one task beside each other.
    """
    ran = _by_speed(tasks, histories)
    near = [finalist for secs, finalist in ran[:most] if secs < rival * ran[0][0]]
    others = _first_of_each(f for secs, f in ran if secs < OTHER_RIVAL * ran[0][0])
    chosen = [*near, *(other for other in others if other not in near)]
    return sorted(chosen, key=lambda f: tasks.index(f.task))  # a task's inputs are made once


def reserves_of(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    judged: Sequence[Finalist],
    untuned_secs: float,
) -> list[Finalist]:
    """Return the fastest candidate of every algorithm that was not judged yet, where it may help.

    An algorithm may lose digits: where all finalists are wrong, another algorithm's may be right.

    Args:
        tasks: Tasks that compute the kernel.
        histories: What was measured, by key of the task.
        judged: The finalists so far.
        untuned_secs: Candidates that are not faster than this are of no use.

    Returns:
        Further finalists.
    """
    return _first_of_each(
        finalist
        for secs, finalist in _by_speed(tasks, histories)
        if secs < untuned_secs and finalist not in judged
    )


def _first_of_each(finalists: Iterable[Finalist]) -> list[Finalist]:
    """Return the first finalist of every algorithm."""
    firsts: dict[str, Finalist] = {}
    for finalist in finalists:
        firsts.setdefault(finalist.task.key, finalist)
    return list(firsts.values())


def _by_speed(
    tasks: Sequence[Task], histories: Mapping[str, History]
) -> list[tuple[float, Finalist]]:
    """Return the candidates that ran with their seconds, fastest first."""
    ran = [
        (outcome.seconds, Finalist(task, outcome.configuration))
        for task in tasks
        for outcome in histories[task.key].outcomes
        if outcome.status is Status.OK
    ]
    return sorted(ran, key=lambda candidate: candidate[0])
