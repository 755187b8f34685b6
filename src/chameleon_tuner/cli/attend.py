"""A run as the command line attends it: what is shown, what is kept, what an interruption says."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.loop import TaskSearch
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.progress import Progress, Silent
from chameleon_tuner.report.lines import Lines
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.report.terminal import LiveTable
from chameleon_tuner.result import Result
from chameleon_tuner.schedule import GradientScheduler, parse_duration
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task
from chameleon_tuner.tuner import Options

LOG = "log.txt"
"""What native code had to say, in the folder of the run."""


class Attendant:
    """Passes everything on to what the user sees, and keeps what the command needs.

    Args:
        shown: what the user sees.
        messages: of native code; kept in the folder as soon as there is one.
        out: the folder.

    Attributes:
        recorded: trials that were there at the beginning; None before that.
        trials: done, recalled ones included.
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
        """What to say when the user ends the run."""
        if self.recorded is None:
            return "interrupted before anything new was measured"
        saved = plural(max(self.trials, self.recorded), "trial")
        return (
            f"interrupted; {saved} are saved in {self._out}/, the same command goes on from there"
        )


def view(
    terminal: TextIO, model: str, options: Options, clock: Stopwatch, *, quiet: bool
) -> contextlib.AbstractContextManager[Progress]:
    """What the user sees: nothing, a table on a terminal, lines elsewhere."""
    if quiet:
        return contextlib.nullcontext(Silent())
    console = Console(file=terminal)
    if not console.is_terminal or console.is_dumb_terminal:
        return contextlib.nullcontext(Lines(terminal, clock))
    budget_secs = parse_duration(options.time_budget) if options.time_budget else math.inf
    return LiveTable(console, Path(model).name, clock, budget_secs)
