"""How far a comparison is, a line a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import click

from chameleon_tuner.compare.contest import Run
from chameleon_tuner.compare.runlog import RunLog
from chameleon_tuner.report.numbers import clock, plural


class Announcer:
    """Prints what a comparison does; see `compare.comparison.Watcher`.

    Args:
        terminal: where to.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._done = self._total = self._fresh = 0
        self._begin = time.monotonic()

    def begin(self, done: int, missing: Sequence[Run]) -> None:
        """See `Watcher.begin`."""
        self._done, self._total = done, done + len(missing)
        self._begin = time.monotonic()
        before = f", {done} of them done before" if done else ""
        self._say(f"{plural(self._total, 'run')}{before}")

    def run_done(self, run: Run, log: RunLog) -> None:
        """See `Watcher.run_done`."""
        self._done += 1
        self._fresh += 1
        best = min((trial.own_secs for trial in log.trials), default=math.inf)
        found = f"best {best * 1e6:.4g} us" if math.isfinite(best) else "nothing that runs"
        said = log.error or f"{plural(len(log.trials), 'trial')} in {log.total_secs:.0f} s, {found}"
        head = f"[{self._done}/{self._total}] {run.task} {log.recipe} seed {log.seed}"
        self._say(f"{head}: {said}{self._left()}")

    def timing(self, kernels: Mapping[str, int]) -> None:
        """See `Watcher.timing`."""
        self._say(f"timing {plural(sum(kernels.values()), 'kernel')} again, side by side")

    def interruption(self, out: Path) -> str:
        """What to say when the user ends the comparison."""
        if not self._total:
            return "interrupted before anything was run"
        return (
            f"interrupted; {self._done} of {plural(self._total, 'run')} are in {out}/, "
            "the same command goes on from there"
        )

    def _left(self) -> str:
        left = self._total - self._done
        if not left:
            return ""
        each = (time.monotonic() - self._begin) / self._fresh
        return f"; about {clock(left * each)} left"

    def _say(self, line: str) -> None:
        click.echo(line, file=self._terminal)
