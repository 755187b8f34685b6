"""The command line's part in a run: the progress display, the log and the interruption message."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console

from chameleon_tuner.app.options import Options
from chameleon_tuner.app.progress import Progress, Silent
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.report.board import Lines
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.report.result import Result
from chameleon_tuner.report.terminal import LiveTable
from chameleon_tuner.search.loop import TaskSearch
from chameleon_tuner.search.schedule import GradientScheduler, parse_duration
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.files import LOG


class Attendant:
    """An observer that forwards progress to a display and counts the trials of the run.

    Args:
        shown: The display.
        messages: Messages of native code, which are kept in the folder once it exists.
        out: Folder of the run.

    Attributes:
        recorded: Number of trials in the records when the search began; None before it began.
        trials: Number of trials so far, including those recalled from the records.
    """

    def __init__(self, shown: Progress, messages: NativeMessages, out: Path) -> None:
        self._shown, self._messages, self._out = shown, messages, out
        self.recorded: int | None = None
        self.trials = 0

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """See `Progress.begin`."""
        self.recorded = recorded
        self._messages.keep_in(self._out / LOG)
        self._shown.begin(model, tasks, scheduler, recorded)

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        self.trials += len(outcomes)
        self._shown.batch_done(task, outcomes, search)

    def finishing(self, compared: int, tasks: int) -> None:
        """See `Progress.finishing`."""
        self._shown.finishing(compared, tasks)

    def done(self, result: Result) -> None:
        """See `Progress.done`."""
        self._shown.done(result)

    def interruption(self) -> str:
        """Return the message for a user who interrupts the run."""
        if self.recorded is None:
            return "interrupted before anything new was measured"
        saved = plural(max(self.trials, self.recorded), "trial")
        return (
            f"interrupted; {saved} are saved in {self._out}/, the same command goes on from there"
        )


def view(
    terminal: TextIO, model: str, options: Options, clock: Stopwatch, *, quiet: bool
) -> contextlib.AbstractContextManager[Progress]:
    """Return the progress display: nothing, a table on a terminal, or lines elsewhere.

    Args:
        terminal: Stream of the display.
        model: Path of the model.
        options: Options of the run.
        clock: Stopwatch of the run.
        quiet: Whether nothing is shown.

    Returns:
        A context manager that shows the display.
    """
    if quiet:
        return contextlib.nullcontext(Silent())
    console = Console(file=terminal)
    if not console.is_terminal or console.is_dumb_terminal:
        return contextlib.nullcontext(Lines(terminal, clock))
    budget_secs = parse_duration(options.time_budget) if options.time_budget else math.inf
    return LiveTable(console, Path(model).name, clock, budget_secs)
