"""The state of a search for progress displays, and the display as plain lines."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.report.numbers import microseconds, plural
from chameleon_tuner.report.result import Result
from chameleon_tuner.search.loop import TaskSearch
from chameleon_tuner.search.schedule import GradientScheduler
from chameleon_tuner.space.task import Task, by_kernel
from chameleon_tuner.system.clock import Stopwatch

_RAN = (Status.OK, Status.CENSORED)


@dataclass
class Row:
    """A kernel and the state of its trials.

    Attributes:
        task: The kernel's own task. Tasks of other algorithms for the same kernel have no row.
        trials: Number of measured trials of all its tasks, failures included.
        failed: Number of trials that failed.
        best_secs: Seconds of the fastest candidate; infinite before there is one.
    """

    task: Task
    trials: int = 0
    failed: int = 0
    best_secs: float = math.inf

    @property
    def network_secs(self) -> float:
        """The seconds of all calls of the kernel in the network; 0 while they are unknown."""
        return self.task.weight * self.best_secs if math.isfinite(self.best_secs) else 0.0


def failures(outcomes: Sequence[Outcome]) -> int:
    """Return the number of candidates that could not be built and run."""
    return sum(outcome.status not in _RAN for outcome in outcomes)


def finishing_text(compared: int, tasks: int) -> str:
    """Return a text about the step that runs after the search.

    Args:
        compared: Number of tasks whose fastest kernels were compared with the untuned ones.
        tasks: Number of all tasks.
    """
    if compared < tasks:
        return f"comparing the fastest kernels with the untuned ones, {compared}/{tasks} tasks"
    return "building the library, comparing the whole model"


class Board:
    """The state of a search.

    Args:
        tasks: Tasks of the network.
        scheduler: Scheduler of the search, which tells how many trials are left.
        recorded: Number of trials of this run that are already in its records.
        clock: Stopwatch of the run.

    Attributes:
        trials: Number of trials so far, including those recalled from the records.
        recorded: See the argument.
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
        """Add a batch to the state.

        Args:
            task: The task of the batch.
            outcomes: The outcomes of the batch.
            best_secs: Seconds of the task's fastest candidate so far.

        Returns:
            The row of the kernel that the task computes.
        """
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
        """The number of trials at the end, unless a plateau or the time limit ends the search."""
        return self.trials + max(0, self._scheduler.trials_left())

    @property
    def recalling(self) -> bool:
        """Whether all trials so far were recalled from the records."""
        return self.trials <= self.recorded

    def elapsed_secs(self) -> float:
        """Return the seconds since the run began."""
        return self._clock.total()

    def left_secs(self) -> float:
        """Return the seconds that the remaining trials take at the pace of the new trials so far.

        The result is nan before the first new trial. Between batches it counts down, but not below
        the time of the trials that follow the batch in progress.
        """
        if self._fresh_begin is None:
            return math.nan
        trials, begin_secs = self._fresh_begin
        pace = (self._batch_end_secs - begin_secs) / max(1, self.trials - trials)
        left = self.total - self.trials
        after_these = left - self._scheduler.at_once
        since_secs = self._clock.total() - self._batch_end_secs
        return max(0.0, pace * after_these, pace * left - since_secs)

    def rows(self) -> list[Row]:
        """Return the rows by their share of the network's time, largest first, unmeasured last."""
        return sorted(self._rows.values(), key=lambda row: -row.network_secs)

    @property
    def network_secs(self) -> float:
        """The seconds of all calls of all kernels, at their fastest so far.

        The value is nan until every kernel has been measured.
        """
        each = [row.network_secs for row in self._rows.values()]
        return sum(each) if all(each) else math.nan


class Lines:
    """A progress display that writes one line per batch.

    If the stream can no longer be written, the lines are dropped silently.

    Args:
        stream: Where the lines are written.
        clock: Stopwatch of the run.
    """

    def __init__(self, stream: TextIO, clock: Stopwatch) -> None:
        self._stream, self._clock = stream, clock
        self._board: Board | None = None

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """See `Progress.begin`."""
        self._board = board = Board(tasks, scheduler, recorded, self._clock)
        kernels = plural(len(by_kernel(tasks)), "task")
        self._say(f"{model}: {kernels}, at most {plural(board.total, 'trial')}")
        if recorded:
            self._say(f"known: {plural(recorded, 'trial')} in the records, not measured again")

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`. Batches that were only recalled get no line."""
        if self._board is None:
            return
        best_secs = search.history.best_secs
        self._board.add(task, outcomes, best_secs)
        if self._board.recalling:
            return
        self._say(
            f"{task.name}: {plural(len(outcomes), 'trial')} ({failures(outcomes)} failed), "
            f"best {microseconds(best_secs)} us, {self._board.trials}/{self._board.total}"
        )

    def finishing(self, compared: int, tasks: int) -> None:
        """See `Progress.finishing`."""
        if compared in (0, tasks):
            self._say(finishing_text(compared, tasks))

    def done(self, result: Result) -> None:
        """See `Progress.done`."""

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(f"[{self._clock.total():6.1f}s] {text}\n")
            self._stream.flush()
