"""Naming the winner of a task: right, and faster than the untuned kernel, or nobody."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.task import Finalist, Task

FINALISTS = 2
"""How many of the fastest are measured again; timings of the search are within some percent."""

RIVAL = 1.25
"""Times as long as the fastest, from where a candidate is no finalist: its one timing was enough
for the search to go on (`TimingPolicy.slow_factor`)."""

OTHER_RIVAL = 1.5
"""The same for the fastest of another algorithm: the two were timed at other moments, and a busy
neighbour slows a machine by half."""

TOLERANCE = 1e-3
"""Largest difference of an output from the untuned kernel's, relative to the largest magnitude.

Reordered float32 sums of 4,608 terms differ by 1e-6; a wrong index by 1e-1 and more.
"""


class JudgedKernel(Protocol):
    """What a comparison found about one kernel; see `chameleon_tuner.tvm.worker.Judged`."""

    @property
    def samples(self) -> tuple[float, ...]:
        """Seconds of every round."""
        ...

    @property
    def error(self) -> float | None:
        """Largest relative difference from the untuned kernel's output; None if not looked at."""
        ...

    @property
    def message(self) -> str:
        """Why it failed, if it did."""
        ...


@dataclass(frozen=True)
class Verdict:
    """The end of the tasks of a kernel.

    Attributes:
        winner: what is deployed; None keeps the untuned kernel.
        best_secs: of what is deployed, in the final comparison.
        untuned_secs: of the untuned kernel, in the same comparison.
        refused: why finalists did not win, one line each.
    """

    winner: Finalist | None
    best_secs: float
    untuned_secs: float
    refused: tuple[str, ...] = ()

    def dropped(self, reason: str) -> Verdict:
        """The verdict when no winner is deployed after all."""
        return Verdict(None, self.untuned_secs, self.untuned_secs, (*self.refused, reason))

    def after(self, before: Verdict) -> Verdict:
        """The better of two verdicts on a kernel, with what either of them refused."""
        better = min(before, self, key=lambda verdict: (verdict.winner is None, verdict.best_secs))
        return replace(better, refused=(*before.refused, *self.refused))


def finalists_of(tasks: Sequence[Task], histories: Mapping[str, History]) -> list[Finalist]:
    """The fastest candidates of a kernel, and the fastest of every algorithm that is near them.

    Args:
        tasks: that compute the kernel.
        histories: by key of the task.
    """
    ran = _by_speed(tasks, histories)
    near = [finalist for secs, finalist in ran[:FINALISTS] if secs < RIVAL * ran[0][0]]
    others = _first_of_each(f for secs, f in ran if secs < OTHER_RIVAL * ran[0][0])
    chosen = [*near, *(other for other in others if other not in near)]
    return sorted(chosen, key=lambda f: tasks.index(f.task))  # a task's inputs are made once


def reserves_of(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    judged: Sequence[Finalist],
    untuned_secs: float,
) -> list[Finalist]:
    """The fastest of every algorithm that was not judged yet, where it promises to be of use.

    An algorithm may lose digits: where all finalists are wrong, another's may be right.

    Args:
        tasks: that compute the kernel.
        histories: by key of the task.
        judged: the finalists that were.
        untuned_secs: what is not faster is of no use.
    """
    return _first_of_each(
        finalist
        for secs, finalist in _by_speed(tasks, histories)
        if secs < untuned_secs and finalist not in judged
    )


def _first_of_each(finalists: Iterable[Finalist]) -> list[Finalist]:
    """The first of every algorithm."""
    firsts: dict[str, Finalist] = {}
    for finalist in finalists:
        firsts.setdefault(finalist.task.key, finalist)
    return list(firsts.values())


def _by_speed(
    tasks: Sequence[Task], histories: Mapping[str, History]
) -> list[tuple[float, Finalist]]:
    """What ran, with its seconds."""
    ran = [
        (outcome.seconds, Finalist(task, outcome.configuration))
        for task in tasks
        for outcome in histories[task.key].outcomes
        if outcome.status is Status.OK
    ]
    return sorted(ran, key=lambda candidate: candidate[0])


def decide(finalists: Sequence[Finalist], judged: Sequence[JudgedKernel]) -> Verdict:
    """Choose among finalists that were compared with the untuned kernel.

    Args:
        finalists: in any order.
        judged: the untuned kernel, then the finalists.
    """
    untuned_secs = _median(judged[0])
    best = untuned_secs
    winner: Finalist | None = None
    refused = []
    for finalist, kernel in zip(finalists, judged[1:], strict=True):
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


def _median(kernel: JudgedKernel) -> float:
    return statistics.median(kernel.samples) if kernel.samples else math.inf
