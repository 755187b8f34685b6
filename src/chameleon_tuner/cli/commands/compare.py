"""The command `chameleon compare`, which runs tuners side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from chameleon_tuner.cli.failures import StoppedError
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import target_option
from chameleon_tuner.report.numbers import clock, plural

if TYPE_CHECKING:
    from chameleon_tuner.bench.compare.contest import Run
    from chameleon_tuner.ports.runlog import RunLog


class Announcer:
    """A `Watcher` that prints the steps of a comparison.

    Args:
        terminal: Stream on which they are printed.
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
        """Return the message for a user who interrupts the comparison."""
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


# The known names are repeated here, because importing their modules is too slow for a help text.
# A test checks that they agree.
SUITES = "paper, paper-layers, alexnet, vgg16, resnet18, mobilenet_v2, bert_tiny"
RECIPES = (
    "chameleon, chameleon-cold, chameleon-paper, autotvm, evolutionary, random, 2x2, metaschedule, "
    "metaschedule+chameleon"
)
POLICIES = "nearest, surrogate"

_FILE = click.Path(path_type=Path)


_HELP = """Compare tuners on the tasks of a suite: side by side, by one neutral timer.

Every run has a process of its own, one after another; what each found on the way is timed
again at the end, together. The folder gets results.json, report.html, the figures and a
recording of all measurements. Interrupt it as you like: the same command goes on with what is
missing.

A recipe is a name, a pair of explorer and sampler such as annealing+greedy, or 2x2 for the
four pairs of the paper; name:trials gives it trials of its own. With --replay a recording takes
the place of the machine, and minutes that of hours: of an earlier comparison, of Kernel Tuner (a
cache file), or of the Benchmark Hub (T4 results).
"""


@click.command(help=_HELP)
@click.option("--suite", metavar="NAME", help=f"{SUITES}, or the path of an ONNX file.")
@click.option("--tasks", metavar="LIST", help="Numbers or names of some of its tasks.")
@click.option("--recipes", metavar="LIST", help=f"Some of {RECIPES}, name:trials.")
@click.option("--trials", type=int, metavar="N", help="Candidates measured in each run.")
@click.option("--budget", metavar="TIME", help="Wall-clock of each run, such as 120s.")
@click.option("--seeds", default=3, metavar="N", help="Runs of every recipe on every task.")
@click.option("--reference", metavar="NAME", help="Recipe that the others are held against.")
@click.option("--out", required=True, metavar="DIR", help="Folder of the comparison.")
@click.option("--replay", multiple=True, type=_FILE, metavar="FILE", help="Recorded measurements.")
@click.option("--policy", default="nearest", metavar="NAME", help=f"Of a replay: {POLICIES}.")
@click.option("--t4", is_flag=True, help="Write every run as T4 results, too.")
@target_option
def compare(out: str, tasks: str | None, replay: Sequence[Path], **chosen: Any) -> None:
    """Compare tuners on the tasks of a suite."""
    wanted = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    given = {**chosen, "tasks": wanted, "replay": list(replay)}
    with NativeMessages() as messages:
        lines = _compared(given, Path(out), messages)
    click.echo("\n".join(lines))


def _compared(given: dict[str, Any], out: Path, messages: NativeMessages) -> list[str]:
    from chameleon_tuner.bench.compare.comparison import ComparisonOptions, compare
    from chameleon_tuner.report.compare.page import write_comparison

    announcer = Announcer(messages.terminal)
    try:
        compared = compare(ComparisonOptions(**given), out, announcer)
    except KeyboardInterrupt:
        raise StoppedError(announcer.interruption(out)) from None
    return write_comparison(compared)
