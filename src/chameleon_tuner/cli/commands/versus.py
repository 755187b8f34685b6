"""The command `chameleon versus`, which times a tuned model beside other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chameleon_tuner.bench.versus.runtimes import RUNTIMES, Runtime, chosen
from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import check_rounds, check_seed, check_writable, command_line
from chameleon_tuner.core.errors import UsageError

if TYPE_CHECKING:
    from chameleon_tuner.bench.versus.duel import DuelOptions
    from chameleon_tuner.bench.versus.runners import Runner

ROUNDS = 15
"""The default number of rounds, that of `bench.versus.duel`.

It is repeated here, because importing that module is too slow for a help text. A test checks that
the two agree.
"""


@click.command()
@click.argument("model")
@click.argument("folder", metavar="DIR")
@click.option("--rounds", default=ROUNDS, metavar="N", help="Turns of every runtime.")
@click.option(
    "--runtimes",
    default=",".join(RUNTIMES),
    show_default=False,
    metavar="LIST",
    help=f"Some of {', '.join(RUNTIMES)}; all without.",
)
@click.option("--inputs", metavar="X.npz", help="Arrays by input name; random ones without.")
@click.option("--seed", default=0, metavar="N", help="Of the random inputs.")
@click.option("--busy", default=0, metavar="N", help="Other processes that compute meanwhile.")
def versus(
    model: str, folder: str, rounds: int, runtimes: str, inputs: str | None, seed: int, busy: int
) -> None:
    """Time the tuned model in DIR beside other runtimes of MODEL.

    MODEL is the ONNX file that was tuned, DIR a folder from `chameleon tune`. Each runtime has a
    process of its own and takes turns with the others, on the same threads and in float32. The
    folder gets versus.json, a chart, and a section of report.md and of report.html.
    """
    check_seed(seed)
    check_rounds(rounds, "an interval")
    if busy < 0:
        raise UsageError(f"--busy is a number of processes, not {busy}; use 0 or more")
    others = _others(runtimes)
    with NativeMessages() as messages:
        from chameleon_tuner.app.options import load_samples
        from chameleon_tuner.bench.versus.duel import DuelOptions

        samples = load_samples(inputs) or None
        options = DuelOptions(rounds=rounds, seed=seed, inputs=samples, busy=busy)
        lines = _compared(Path(model), Path(folder), others, options, inputs, messages)
    click.echo("\n".join(lines))


def _others(names: str) -> list[Runtime[Runner]]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise UsageError(f"--runtimes names none; known: {', '.join(RUNTIMES)}")
    return chosen(wanted)


def _compared(
    model: Path,
    folder: Path,
    others: Sequence[Runtime[Runner]],
    options: DuelOptions,
    inputs: str | None,
    messages: NativeMessages,
) -> list[str]:
    from chameleon_tuner.bench.versus.duel import duel
    from chameleon_tuner.report.page import renew_page
    from chameleon_tuner.report.versus import write_duel

    check_writable(folder, "compare")

    def say(text: str) -> None:
        click.echo(text, file=messages.terminal)

    found = duel(model, folder, others, options, say)
    line = command(model, folder, others, options, inputs)
    lines = write_duel(found, folder, line)
    renew_page(folder)
    return lines


def command(
    model: Path,
    folder: Path,
    others: Sequence[Runtime[Runner]],
    options: DuelOptions,
    inputs: str | None = None,
) -> str:
    """Return the command line that repeats the comparison.

    Args:
        model: The ONNX file.
        folder: Folder of the tuned model.
        others: The other runtimes.
        options: The options of the comparison.
        inputs: Path of the arrays that were given.

    Returns:
        The command line.
    """
    names = ",".join(runtime.name for runtime in others)
    return command_line(
        ["versus", str(model), str(folder)],
        {
            "--runtimes": (names, ",".join(RUNTIMES)),
            "--rounds": (options.rounds, ROUNDS),
            "--inputs": (inputs, None),
            "--seed": (options.seed, 0),
            "--busy": (options.busy, 0),
        },
    )
