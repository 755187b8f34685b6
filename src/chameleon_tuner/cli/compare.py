"""`chameleon compare`: tuners side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from chameleon_tuner.cli.failures import StoppedError
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import target_option

# What is known by name: their homes take too long to import for a help text. A test compares.
SUITES = "paper, paper-layers, alexnet, vgg16, resnet18, mobilenet_v2, bert_tiny"
RECIPES = (
    "chameleon, chameleon-cold, chameleon-paper, autotvm, evolutionary, random, 2x2, metaschedule"
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
the place of the machine, and minutes that of hours.
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
@target_option
def compare(out: str, tasks: str | None, replay: Sequence[Path], **chosen: Any) -> None:
    """Compare tuners on the tasks of a suite."""
    wanted = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    given = {**chosen, "tasks": wanted, "replay": list(replay)}
    with NativeMessages() as messages:
        lines = _compared(given, Path(out), messages)
    click.echo("\n".join(lines))


def _compared(given: dict[str, Any], out: Path, messages: NativeMessages) -> list[str]:
    from chameleon_tuner.cli.contest import Announcer
    from chameleon_tuner.compare.comparison import Options, compare
    from chameleon_tuner.report.compare.closing import finish

    announcer = Announcer(messages.terminal)
    try:
        compared = compare(Options(**given), out, announcer)
    except KeyboardInterrupt:
        raise StoppedError(announcer.interruption(out)) from None
    return finish(compared)
