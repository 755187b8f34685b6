"""The commands `chameleon program ...`, which tune any program with parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chameleon_tuner.cli.failures import StoppedError
from chameleon_tuner.cli.native import NativeMessages

# The names are repeated here, because importing their modules is too slow for a help text. A test
# checks that they agree.
RECIPES = "chameleon, chameleon-cold, chameleon-paper, autotvm, evolutionary, random"

_GROUP_HELP = """Tune any program that has parameters: flags, tile sizes, levels, threads.

\b
chameleon program tune matmul.toml --out tuned/   find the fastest
"""

_TUNE_HELP = """Find the fastest configuration of the program in SPEC, a TOML file.

\b
compile = "g++ -O3 {defines} matmul.cpp -o {build}/matmul"
run = "{build}/matmul 512"
[parameters]
BLOCK = [8, 16, 32, 64]
UNROLL = [1, 2, 4]

The commands run with your permissions: tune only what you would run yourself. Every candidate
is compiled into a folder of its own, {build}, and runs alone; its output has to be that of the
default configuration, which has the first value of every parameter.

The folder gets the winner's files in best/, summary.json, report.md and the records of
everything that was measured. Interrupt it as you like: the same command goes on where it was,
and measures nothing twice.
"""


@click.group(help=_GROUP_HELP)
def program() -> None:
    """Tune any program that has parameters."""


@program.command(help=_TUNE_HELP)
@click.argument("spec")
@click.option("--out", required=True, metavar="DIR", help="Folder of the result.")
@click.option(
    "--trials",
    type=int,
    metavar="N",
    help="Candidates that are measured.",
    show_default="192; with a time budget as many as fit",
)
@click.option("--time-budget", metavar="TIME", help="Of the whole run, such as 90s, 10m or 1h30m.")
@click.option("--seed", default=0, metavar="N", help="Of the search.")
@click.option("--recipe", default="chameleon", metavar="NAME", help=f"How to search: {RECIPES}.")
@click.option("--quiet", "-q", is_flag=True, help="Show nothing but errors.")
def tune(spec: str, out: str, quiet: bool, **chosen: Any) -> None:
    """Find the fastest configuration of a program."""
    try:
        with NativeMessages() as messages:
            lines = _tuned(spec, Path(out), chosen, messages, quiet)
    except KeyboardInterrupt:
        raise StoppedError("interrupted before anything new was measured") from None
    if not quiet:
        click.echo("\n".join(lines))


def _tuned(
    spec: str, out: Path, chosen: dict[str, Any], messages: NativeMessages, quiet: bool
) -> list[str]:
    """Tune the program, and return the lines of the closing summary."""
    from chameleon_tuner.app.program.options import ProgramOptions
    from chameleon_tuner.app.program.tune import tune_program
    from chameleon_tuner.report.program import ProgramLines, closing_lines
    from chameleon_tuner.system.clock import Stopwatch

    clock = Stopwatch(from_process_start=True)
    shown = ProgramLines(None if quiet else messages.terminal, clock)
    try:
        result = tune_program(spec, out, ProgramOptions(**chosen), shown, clock)
    except KeyboardInterrupt:
        raise StoppedError(shown.interruption(out)) from None
    return closing_lines(result, shown.recorded or 0)
