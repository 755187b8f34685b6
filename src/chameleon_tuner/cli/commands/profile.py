"""The command `chameleon profile`, which shows the time of every kernel of a tuned network."""

from __future__ import annotations

from pathlib import Path

import click

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import check_rounds, check_seed, check_writable, command_line

ROUNDS = 15


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--rounds", default=ROUNDS, metavar="N", help="That medians are over.")
@click.option("--seed", default=0, metavar="N", help="Of the random inputs.")
def profile(folder: str, rounds: int, seed: int) -> None:
    """Profile the tuned model in DIR, a folder from `chameleon tune`.

    Shows every kernel's time in the network and by itself, its arithmetic and its traffic beside
    what this machine can do at most. The folder gets profile.json, a roofline, and a section of
    report.md and of report.html.
    """
    check_seed(seed)
    check_rounds(rounds, "a median")
    place = Path(folder)
    check_writable(place, "profile")
    with NativeMessages():
        from chameleon_tuner.bench.profiling import profile as profiled
        from chameleon_tuner.report.page import renew_page
        from chameleon_tuner.report.profile import write_profile

        again = command_line(
            ["profile", folder], {"--rounds": (rounds, ROUNDS), "--seed": (seed, 0)}
        )
        lines = write_profile(profiled(place, rounds, seed), place, again)
        renew_page(place)
    click.echo("\n".join(lines))
