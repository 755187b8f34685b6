"""The command `chameleon tune`, which tunes a model."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from chameleon_tuner.cli.failures import StoppedError, UnverifiedError
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import (
    algorithm_options,
    parse_shapes,
    shape_option,
    store_options,
    target_option,
)

# Known names and defaults are repeated here, because importing their modules is too slow for a
# help text. A test checks that they agree.
EFFORTS = "instant, quick, standard or full: 2, 64, 192 or 768 trials a task on average"
DEFAULT_EFFORT = "standard; full with a time budget"
RECIPES = "chameleon, chameleon-cold, chameleon-paper, autotvm, evolutionary, random"
EXPLORERS = "annealing, descent, elites, evolutionary, mixed, ppo, ppo-paper, random"
SAMPLERS = "adaptive, diverse, greedy, spread, take-all"


@click.command()
@click.argument("model")
@click.option("--out", required=True, metavar="DIR", help="Folder of the result.")
@click.option(
    "--effort", default=None, metavar="EFFORT", help=f"{EFFORTS}.", show_default=DEFAULT_EFFORT
)
@click.option("--trials", type=int, metavar="N", help="Of all tasks, in place of the effort's.")
@click.option("--time-budget", metavar="TIME", help="Of the whole run, such as 90s, 10m or 1h30m.")
@click.option("--seed", default=0, metavar="N", help="Of the search.")
@click.option("--recipe", default="chameleon", metavar="NAME", help=f"How to search: {RECIPES}.")
@click.option("--explorer", metavar="NAME", help=f"In place of the recipe's: {EXPLORERS}.")
@click.option("--sampler", metavar="NAME", help=f"In place of the recipe's: {SAMPLERS}.")
@target_option
@shape_option
@click.option(
    "--inputs", metavar="X.npz", help="Arrays by input name, to verify and time on; random without."
)
@algorithm_options
@click.option(
    "--worker-memory",
    metavar="SIZE",
    help="Of a worker process at most, such as 6G.",
    show_default="a share of the machine's, at least 4G or half of it",
)
@store_options
@click.option("--quiet", "-q", is_flag=True, help="Show nothing but errors.")
def tune(
    model: str,
    out: str,
    shapes: Sequence[str],
    quiet: bool,
    store: str | None,
    no_store: bool,
    **chosen: Any,
) -> None:
    """Tune MODEL, an ONNX file or a .pt2 file of torch.export.save, for this machine.

    The folder gets the tuned library, summary.json, report.html, report.md and the records of all
    that was measured. Interrupt it as you like: the same command goes on where it was, and measures
    nothing twice.
    """
    asked = False if no_store else store
    given = {**chosen, "shapes": parse_shapes(shapes) or None, "store": asked}
    try:
        with NativeMessages() as messages:
            lines, verified = _tuned(model, Path(out), given, messages, quiet)
    except KeyboardInterrupt:
        raise StoppedError("interrupted before anything new was measured") from None
    if not quiet:
        click.echo("\n".join(_wrapped(lines)))
    if not verified:
        raise UnverifiedError(
            "the outputs were not verified, because nothing else runs the model: compare them "
            f"yourself before you use {out}"
        )


def _wrapped(lines: Sequence[str]) -> list[str]:
    """Wrap lines between words to the width of the terminal; lines for a file stay unchanged."""
    if not sys.stdout.isatty():
        return list(lines)
    width = shutil.get_terminal_size().columns
    wrap = partial(textwrap.wrap, width=width, subsequent_indent="    ", break_long_words=False)
    return [part for line in lines for part in wrap(line, break_on_hyphens=False)]


def _tuned(
    model: str, out: Path, given: Mapping[str, Any], messages: NativeMessages, quiet: bool
) -> tuple[list[str], bool]:
    """Tune the model; return the lines of the closing summary, and whether it is verified."""
    from chameleon_tuner.app.options import Options
    from chameleon_tuner.app.tune import by_name, run
    from chameleon_tuner.backends.tvm.backend import TVMBackend
    from chameleon_tuner.cli.attend import Attendant, view
    from chameleon_tuner.report.run import closing_lines
    from chameleon_tuner.system.clock import Stopwatch

    clock = Stopwatch(from_process_start=True)
    names = [algorithm.name for algorithm in TVMBackend().algorithms]
    options = Options(**by_name(given, names))
    options.check(names)  # before anything is shown
    with view(messages.terminal, model, options, clock, quiet=quiet) as shown:
        attendant = Attendant(shown, messages, out)
        try:
            result = run(model, out, options, attendant, clock)
        except KeyboardInterrupt:
            raise StoppedError(attendant.interruption()) from None
    return closing_lines(result, attendant.recorded or 0), result.verified
