"""`chameleon profile`: where the time of a tuned network goes."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.errors import OutputError, UsageError

ROUNDS, _LEAST_ROUNDS = 15, 3


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--rounds", default=ROUNDS, metavar="N", help="That medians are over.")
@click.option("--seed", default=0, metavar="N", help="Of the random inputs.")
def profile(folder: str, rounds: int, seed: int) -> None:
    """Profile the tuned model in DIR, a folder from `chameleon tune`.

    Shows every kernel's time in the network and by itself, its arithmetic and its traffic beside
    what this machine can do at most. The folder gets profile.json, a roofline, and a section of
    report.md.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed}: a seed is not negative")
    if rounds < _LEAST_ROUNDS:
        raise UsageError(f"--rounds {rounds}: at least {_LEAST_ROUNDS}, for a median")
    place = Path(folder)
    if place.is_dir() and not os.access(place, os.W_OK):  # known before the work is done
        raise OutputError(f"cannot write into {folder}: make it writable, or profile a copy of it")
    with NativeMessages():
        from chameleon_tuner.profiling.profiler import profile as profiled
        from chameleon_tuner.report.profile import finish

        lines = finish(profiled(place, rounds, seed), place, _command(folder, rounds, seed))
    click.echo("\n".join(lines))


def _command(folder: str, rounds: int, seed: int) -> str:
    words = ["chameleon", "profile", folder]
    if rounds != ROUNDS:
        words += ["--rounds", str(rounds)]
    if seed:
        words += ["--seed", str(seed)]
    return shlex.join(words)
