from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from chameleon_tuner.report.board import Board, Lines
from chameleon_tuner.report.terminal import LiveTable

Make = Callable[[int], Any]


class Recorder:
    """A `Progress` that only keeps a board."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def begin(self, model: str, tasks: Any, scheduler: Any, recorded: int) -> None:
        self.board = Board(tasks, scheduler, recorded, self.run.clock)

    def batch_done(self, task: Any, outcomes: Any, search: Any) -> None:
        self.board.add(task, outcomes, search.history.best_secs)


class TestBoard:
    def test_counts_and_sorts_by_time(self, made_run: Make) -> None:
        run = made_run(3)
        progress = Recorder(run)
        run.begin(progress)
        board = progress.board
        assert (board.trials, board.total, board.recalling) == (0, 64, True)
        run.batch(progress, 0, 2e-3, failed=3)
        run.batch(progress, 1, 3e-3)
        run.batch(progress, 0, 1e-3, failed=1)
        assert (board.trials, board.total, board.recalling) == (48, 64, False)
        assert [row.task.name for row in board.rows()] == ["task1", "task0", "task2"]
        row = board.rows()[1]
        assert (row.trials, row.failed, row.best_secs) == (32, 4, 1e-3)
        assert math.isnan(board.network_secs)
        run.batch(progress, 2, 1e-3)
        assert board.network_secs == pytest.approx(2 * 3e-3 + 1e-3 + 1e-3)

    def test_estimates_the_time_that_is_left(self, made_run: Make) -> None:
        run = made_run(2)
        progress = Recorder(run)
        run.begin(progress)
        assert math.isnan(progress.board.left_secs())
        run.batch(progress, 0, 1e-3)
        assert progress.board.left_secs() == pytest.approx(30)
        run.clock.now_secs += 4
        assert progress.board.left_secs() == pytest.approx(26)
        run.clock.now_secs += 100  # a slow batch: those behind it still take their time
        assert progress.board.left_secs() == pytest.approx(20)

    def test_ways_to_compute_a_kernel_have_one_row(self, made_run: Make) -> None:
        run = made_run(3)
        run.tasks[1] = replace(run.tasks[1], computes=run.tasks[0].key)
        progress = Recorder(run)
        run.begin(progress)
        run.batch(progress, 0, 2e-3)
        run.batch(progress, 1, 1e-3)
        run.batch(progress, 0, 1.5e-3)
        first, second = progress.board.rows()
        assert (first.task, first.trials, first.best_secs) == (run.tasks[0], 48, 1e-3)
        assert second.task is run.tasks[2]
        lines = Lines(stream := io.StringIO(), run.clock)
        run.begin(lines)
        assert "net: 2 tasks" in stream.getvalue()

    def test_what_was_recalled_sets_no_pace(self, made_run: Make) -> None:
        run = made_run(2)
        progress = Recorder(run)
        run.begin(progress, recorded=16)
        run.clock.now_secs = -9.9  # recalling takes 0.1 s
        run.batch(progress, 0, 1e-3)
        assert progress.board.recalling
        assert math.isnan(progress.board.left_secs())
        run.batch(progress, 1, 1e-3)
        assert progress.board.left_secs() == pytest.approx(20)


class TestLines:
    def test_a_line_a_batch(self, made_run: Make) -> None:
        run, stream = made_run(2), io.StringIO()
        progress = Lines(stream, run.clock)
        run.begin(progress)
        run.batch(progress, 0, 21.6e-6, failed=2)
        progress.finishing(0, 2)
        progress.finishing(1, 2)
        progress.finishing(2, 2)
        assert stream.getvalue().splitlines() == [
            "[   0.0s] net: 2 tasks, at most 64 trials",
            "[  10.0s] task0: 16 trials (2 failed), best 21.6 us, 16/64",
            "[  10.0s] comparing the fastest kernels with the untuned ones, 0/2 tasks",
            "[  10.0s] building the library, comparing the whole model",
        ]

    def test_what_was_recalled_is_one_line(self, made_run: Make) -> None:
        run, stream = made_run(2), io.StringIO()
        progress = Lines(stream, run.clock)
        run.begin(progress, recorded=32)
        for number in (0, 1, 0):
            run.batch(progress, number, math.inf)
        assert stream.getvalue().splitlines()[1:] == [
            "[   0.0s] known: 32 trials in the records, not measured again",
            "[  30.0s] task0: 16 trials (0 failed), best - us, 48/64",
        ]

    def test_a_reader_that_leaves_stops_nothing(self, made_run: Make) -> None:
        run, stream = made_run(1), io.StringIO()
        stream.close()
        run.begin(Lines(stream, run.clock))


class TestLiveTable:
    @staticmethod
    def show(run: Any, width: int, height: int, **options: Any) -> tuple[LiveTable, Console]:
        console = Console(
            file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
        )
        return LiveTable(console, "net.onnx", run.clock, **options), console

    @staticmethod
    def screen(progress: LiveTable, console: Console) -> list[str]:
        with console.capture() as capture:
            console.print(progress._render())
        return [line.rstrip() for line in capture.get().splitlines()]

    def test_leaves_its_last_state_on_the_screen(self, made_run: Make) -> None:
        run = made_run(2)
        progress, console = self.show(run, 80, 24)
        with progress:
            run.begin(progress)
            run.batch(progress, 0, 1e-3)
        assert isinstance(console.file, io.StringIO)
        assert "16/64 trials" in console.file.getvalue().rpartition("GFLOP/s")[2]

    @pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 10)])
    def test_stays_within_the_terminal(self, width: int, height: int, made_run: Make) -> None:
        run = made_run(60)
        progress, console = self.show(run, width, height)
        run.begin(progress, recorded=16)
        run.batch(progress, 7, 123e-6)
        run.batch(progress, 8, 45e-6, failed=1)
        progress.finishing(3, 60)
        lines = self.screen(progress, console)
        assert len(lines) < height
        assert max(map(len, lines)) <= width

    def test_shows_the_heaviest_tasks_and_how_far_it_is(self, made_run: Make) -> None:
        run = made_run(60)
        progress, console = self.show(run, 80, 24)
        assert self.screen(progress, console)[1] == "reading net.onnx, finding its kernels ... 0:00"
        run.begin(progress)
        run.batch(progress, 7, 123e-6, failed=2)
        lines = self.screen(progress, console)
        assert lines[0] == "net: 60 tasks"
        head = "task   calls  best us  GFLOP/s  share  trials  failed"
        assert lines[1].split() == head.split()
        assert lines[2].split() == ["task7", "2", "123", "431", "-", "16", "2"]
        assert lines[-2] == "... 43 more"
        assert lines[-1].endswith("16/64 trials  0:10  about 0:30 left")

    def test_a_time_budget_bounds_the_estimate(self, made_run: Make) -> None:
        run = made_run(2)
        progress, console = self.show(run, 80, 24, time_budget_secs=25.0)
        run.begin(progress)
        assert self.screen(progress, console)[-1].endswith("0:00  about 0:25 left")
        run.batch(progress, 0, 1e-3)
        assert self.screen(progress, console)[-1].endswith("16 trials  0:10  about 0:15 left")

    @pytest.mark.parametrize(("budget_secs", "share"), [(math.inf, 16 / 64), (20.0, 10 / 20)])
    def test_the_bar_is_of_what_is_spent_most(
        self, made_run: Make, budget_secs: float, share: float
    ) -> None:
        run = made_run(2)
        progress, console = self.show(run, 80, 24, time_budget_secs=budget_secs)
        run.begin(progress)
        run.batch(progress, 0, 1e-3)
        last = self.screen(progress, console)[-1]
        whole = 80 - len("^C") - len(last.lstrip("━╸╺ ")) - len("  ")
        assert last.count("━") == pytest.approx(share * whole, abs=1)

    def test_says_that_it_resumed_and_what_it_does_at_the_end(self, made_run: Make) -> None:
        run = made_run(2)
        progress, console = self.show(run, 80, 24)
        run.begin(progress, recorded=48)
        assert self.screen(progress, console)[0] == "net: 2 tasks; 48 trials known"
        progress.finishing(1, 2)
        assert self.screen(progress, console)[-1].startswith("comparing the fastest kernels")
