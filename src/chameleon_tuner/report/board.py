"""How far a search is, as its watchers show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.schedule import GradientScheduler
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task, by_kernel

_RAN = (Status.OK, Status.CENSORED)


@dataclass
class Row:
    """A kernel and what became of its trials.

    Attributes:
        task: its own task; those that compute it in another way have no row.
        trials: measured, failures included.
        failed: of these.
        best_secs: of its fastest kernel; infinite before there is one.
    """

    task: Task
    trials: int = 0
    failed: int = 0
    best_secs: float = math.inf

    @property
    def network_secs(self) -> float:
        """What all of its calls take; 0 while that is not known."""
        return self.task.weight * self.best_secs if math.isfinite(self.best_secs) else 0.0


def failures(outcomes: Sequence[Outcome]) -> int:
    """How many could not be built and run."""
    return sum(outcome.status not in _RAN for outcome in outcomes)


def finishing_text(compared: int, tasks: int) -> str:
    """What is done when the search is over."""
    if compared < tasks:
        return f"comparing the fastest kernels with the untuned ones, {compared}/{tasks} tasks"
    return "building the library, comparing the whole model"


class Board:
    """The state of a search.

    Args:
        tasks: of the network.
        scheduler: knows how many trials are left.
        recorded: trials of this run that are in its records already.
        clock: of the run.

    Attributes:
        trials: done, recalled ones included.
        recorded: as given.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        scheduler: GradientScheduler,
        recorded: int,
        clock: Stopwatch,
    ) -> None:
        kernels = [mine[0] for mine in by_kernel(tasks).values()]
        by_work = sorted(kernels, key=lambda task: -task.weight * task.flops)
        self._rows = {task.key: Row(task) for task in by_work}
        self._scheduler, self._clock = scheduler, clock
        self.recorded, self.trials = recorded, 0
        self._batch_end_secs = clock.total()
        self._fresh_begin: tuple[int, float] | None = None

    def add(self, task: Task, outcomes: Sequence[Outcome], best_secs: float) -> Row:
        """Take in a batch; the task's row."""
        row = self._rows[task.kernel]
        row.trials += len(outcomes)
        row.failed += failures(outcomes)
        row.best_secs = min(row.best_secs, best_secs)
        if self._fresh_begin is None and self.trials + len(outcomes) > self.recorded:
            self._fresh_begin = self.trials, self._batch_end_secs
        self.trials += len(outcomes)
        self._batch_end_secs = self._clock.total()
        return row

    @property
    def total(self) -> int:
        """Trials that the search ends with, unless it reaches a plateau or its time is up."""
        return self.trials + max(0, self._scheduler.trials_left())

    @property
    def recalling(self) -> bool:
        """Whether everything so far came out of the records."""
        return self.trials <= self.recorded

    def elapsed_secs(self) -> float:
        """Since the run began."""
        return self._clock.total()

    def left_secs(self) -> float:
        """What the trials that are left take at the pace so far; nan before there is one."""
        if self._fresh_begin is None:
            return math.nan
        trials, begin_secs = self._fresh_begin
        pace = (self._batch_end_secs - begin_secs) / max(1, self.trials - trials)
        left = self.total - self.trials
        after_these = left - self._scheduler.at_once
        since_secs = self._clock.total() - self._batch_end_secs
        return max(0.0, pace * after_these, pace * left - since_secs)

    def rows(self) -> list[Row]:
        """The tasks, those in which the network spends most time first, unmeasured ones last."""
        return sorted(self._rows.values(), key=lambda row: -row.network_secs)

    @property
    def network_secs(self) -> float:
        """Of all tasks' calls, each by its fastest kernel so far; nan until every task has one."""
        each = [row.network_secs for row in self._rows.values()]
        return sum(each) if all(each) else math.nan
