"""The progress display for terminals: a table of the tasks that is redrawn in place."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.report.board import Board, Row, finishing_text
from chameleon_tuner.report.numbers import clock as clock_face
from chameleon_tuner.report.numbers import gflops, microseconds, percent, plural
from chameleon_tuner.report.result import Result
from chameleon_tuner.search.loop import TaskSearch
from chameleon_tuner.search.schedule import GradientScheduler
from chameleon_tuner.space.task import Task, by_kernel
from chameleon_tuner.system.clock import Stopwatch

_AROUND_ROWS = 7
"""The lines of the display that are not table rows: title, header, `more`, bar, blank lines."""

_MOST_COLUMNS = 100
"""The greatest width of the table in characters; wider rows are hard to follow."""

_TICKS_PER_SEC = 1.0
"""The redraws per second. Redrawing can disturb a timed kernel, and a clock needs no more."""

_COLUMNS = ("calls", "best us", "GFLOP/s", "share", "trials", "failed")


class LiveTable:
    """A context manager that shows the table until it exits.

    Args:
        console: Console of the terminal.
        model: Name that is shown until the model has been read.
        clock: Stopwatch of the run.
        time_budget_secs: Time budget of the run; infinite without one.
    """

    def __init__(
        self,
        console: Console,
        model: str,
        clock: Stopwatch,
        time_budget_secs: float = math.inf,
    ) -> None:
        self._console, self._clock = console, clock
        self._time_budget_secs = time_budget_secs
        self._board: Board | None = None
        self._latest: Row | None = None
        self._drawn: tuple[ConsoleDimensions, Segments] | None = None
        self._title = model
        self._searching = False
        self._doing = f"reading {model}, finding its kernels"
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=_TICKS_PER_SEC,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveTable:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    # -- Progress

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """See `Progress.begin`."""
        self._board = Board(tasks, scheduler, recorded, self._clock)
        self._title = f"{model}: {plural(len(by_kernel(tasks)), 'task')}"
        if recorded:
            self._title += f"; {plural(recorded, 'trial')} known"
        self._searching, self._doing = True, ""
        self._refresh()

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        if self._board is not None:
            self._latest = self._board.add(task, outcomes, search.history.best_secs)
        self._refresh()

    def finishing(self, compared: int, tasks: int) -> None:
        """See `Progress.finishing`."""
        self._latest = None
        self._searching, self._doing = False, finishing_text(compared, tasks)
        self._refresh()

    def done(self, result: Result) -> None:
        """See `Progress.done`."""
        self._doing = ""
        with contextlib.suppress(OSError):
            self._live.stop()

    def _refresh(self) -> None:
        self._drawn = None
        with contextlib.suppress(OSError):
            self._live.refresh()

    # -- drawing

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(self._title, "bold", overflow="ellipsis", no_wrap=True)]
        if self._board is not None:
            parts.append(self._table_drawn(self._board))
            parts.append(self._bar(self._board))
        if self._doing:
            elapsed = "" if self._board else clock_face(self._clock.total())
            line = Text(f"{self._doing} ... {elapsed}", "dim", overflow="ellipsis", no_wrap=True)
            parts.append(line)
        return Group(*parts)

    def _table_drawn(self, board: Board) -> Segments:
        """Return the table as it was last drawn; only a batch or a resize draws it again."""
        # `_drawn` is read once, because the clock's redraws run in another thread.
        drawn, size = self._drawn, self._console.size
        if drawn is None or drawn[0] != size:
            drawn = size, Segments(self._console.render(Group(*self._table(board))))
            self._drawn = drawn
        return drawn[1]

    def _table(self, board: Board) -> list[RenderableType]:
        table = Table(box=None, pad_edge=False, width=self._width(), header_style="dim")
        table.add_column("task", ratio=1, overflow="ellipsis", no_wrap=True)
        for title in _COLUMNS:
            table.add_column(title, justify="right", no_wrap=True)
        rows = board.rows()
        shown = rows[: max(1, self._console.height - _AROUND_ROWS)]
        for row in shown:
            table.add_row(*_cells(row, board), style="bold" if row is self._latest else "")
        hidden = len(rows) - len(shown)
        return [table, *([Text(f"... {hidden} more", "dim")] if hidden else [])]

    def _width(self) -> int:
        return min(self._console.width - len("^C"), _MOST_COLUMNS)  # the echo of ^C must not wrap

    def _bar(self, board: Board) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.width = self._width()
        grid.add_column(ratio=1)
        for _ in range(3):
            grid.add_column(no_wrap=True)
        timed = math.isfinite(self._time_budget_secs)
        trials = str(board.trials) if timed else f"{board.trials}/{board.total}"
        grid.add_row(
            ProgressBar(total=1.0, completed=self._share(board)),
            f"{trials} trials",
            clock_face(board.elapsed_secs()),
            self._left(board),
        )
        return grid

    def _share(self, board: Board) -> float:
        """Return the spent share of the budget of trials or of time, whichever is larger."""
        of_trials = board.trials / max(board.total, 1)
        return min(1.0, max(of_trials, board.elapsed_secs() / self._time_budget_secs))

    def _left(self, board: Board) -> str:
        left_secs = board.left_secs()
        budget_secs = self._time_budget_secs - board.elapsed_secs()
        if math.isnan(left_secs):
            left_secs = budget_secs
        left_secs = min(left_secs, budget_secs)
        if not self._searching or not math.isfinite(left_secs):
            return ""
        return f"about {clock_face(max(0.0, left_secs))} left"


def _cells(row: Row, board: Board) -> list[str]:
    task = row.task
    return [
        task.name,
        str(task.weight),
        microseconds(row.best_secs),
        gflops(task.flops, row.best_secs),
        percent(row.network_secs, board.network_secs),
        str(row.trials),
        str(row.failed),
    ]
