"""Progress as lines of text, one a batch: for logs and pipes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TextIO

from chameleon_tuner.loop import TaskSearch
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.report.board import Board, failures, finishing_text
from chameleon_tuner.report.numbers import microseconds, plural
from chameleon_tuner.result import Result
from chameleon_tuner.schedule import GradientScheduler
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task, by_kernel


class Lines:
    """Writes a line a batch; goes on silently where the stream can no longer be written.

    Args:
        stream: where to.
        clock: of the run.
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
            self._say(f"resuming: {plural(recorded, 'trial')} in the records, not measured again")

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`. What was only recalled is not worth a line."""
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
