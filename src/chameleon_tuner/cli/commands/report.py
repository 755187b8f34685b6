"""The command `chameleon report`, which writes the page of a tuned model again."""

from __future__ import annotations

from pathlib import Path

import click

from chameleon_tuner.cli.options import check_writable


@click.command()
@click.argument("folder", metavar="DIR")
def report(folder: str) -> None:
    """Write the page of the run in DIR, a folder from `chameleon tune`.

    `tune`, `profile` and `versus` write report.html themselves; this is for folders of earlier
    versions, or after an upgrade. Nothing is measured.
    """
    place = Path(folder)
    check_writable(place, "use")
    from chameleon_tuner.report.page import write_page
    from chameleon_tuner.report.result import Result

    click.echo(f"open {write_page(Result.read(place))}")
