"""The commands `chameleon records ...`, which look after the records of all runs."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.core.errors import OutputError, RecordsError, UsageError

if TYPE_CHECKING:
    from chameleon_tuner.records import RecordStore
    from chameleon_tuner.records.overview import Measured

_HASH = 12
"""Digits of a hash that are shown; any unambiguous beginning names a kernel."""

_store_option = click.option(
    "--store",
    metavar="PLACE",
    help="A file, the folder of a run, or postgresql+psycopg://USER@HOST/NAME.",
    show_default="$CHAMELEON_STORE, or ~/.local/share/chameleon/records.db",
)


@click.group()
def records() -> None:
    """Look after the records of all runs: what was measured once is never measured again."""


@records.command("list")
@click.option("--limit", default=50, metavar="N", help="The latest kernels at most.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_store_option
def list_(limit: int, as_json: bool, store: str | None) -> None:
    """List the kernels that were measured, the latest first."""
    from chameleon_tuner.records.overview import measured

    with _opened(store) as opened, opened.reading() as connection:
        found = measured(connection, max(1, limit))
    if as_json:
        click.echo(json.dumps([_plain(one) for one in found], indent=2))
        return
    from chameleon_tuner.report.numbers import microseconds
    from chameleon_tuner.report.sections import terminal_table

    header = ("kernel", "name", "arguments", "device", "threads", "trials", "best us", "measured")
    cells = [
        (
            one.workload.hash[:_HASH],
            one.workload.name,
            ", ".join(one.workload.facts.get("arguments", ())) or "-",
            one.environment.device,
            str(one.environment.threads),
            str(sum(one.trials.values())),
            microseconds(math.inf if one.best_secs is None else one.best_secs),
            f"{one.latest:%Y-%m-%d}",
        )
        for one in found
    ]
    click.echo("\n".join(terminal_table(header, cells, left=4)))


@records.command()
@click.argument("kernel")
@click.option("--best", default=5, metavar="N", help="The fastest configurations to show.")
@_store_option
def show(kernel: str, best: int, store: str | None) -> None:
    """Show the fastest records of KERNEL: its hash, the beginning of it, or its name."""
    from chameleon_tuner.records.overview import fastest, find_workload

    with _opened(store) as opened, opened.reading() as connection:
        key, workload = find_workload(connection, kernel)
        found = fastest(connection, key, max(1, best))
    facts = ", ".join(workload.facts.get("arguments", ())) or "arguments unknown"
    click.echo(f"{workload.hash}  {workload.name}\n{facts}")
    for environment, summary, ran in found:
        click.echo(f"\n{environment.device}, {environment.threads} threads; {_counts(summary)}")
        click.echo("  " + ", ".join(f"{k} {v}" for k, v in sorted(environment.versions.items())))
        for record in ran:
            secs, decisions = record.outcome.seconds, _decisions(workload, record.outcome)
            click.echo(f"  {secs * 1e6:10.4g} us  {decisions}")


@records.command()
@_store_option
def stats(store: str | None) -> None:
    """Count what is stored."""
    from chameleon_tuner.records.overview import totals
    from chameleon_tuner.report.numbers import plural

    with _opened(store) as opened, opened.reading() as connection:
        found, name = totals(connection), opened.name
    click.echo(name)
    for count, noun in (
        (sum(found.records.values()), "record"),
        (found.samples, "timing"),
        (found.workloads, "kernel"),
        (found.environments, "environment"),
        (found.runs, "run"),
    ):
        click.echo(f"  {plural(count, noun)}")
    counts = sorted(found.records.items(), key=lambda item: -item[1])
    click.echo("  " + ", ".join(f"{n:,} {s.value.replace('_', ' ')}" for s, n in counts))


@records.command("export")
@click.argument("file")
@click.option("--metaschedule", is_flag=True, help="A folder with the files of TVM's database.")
@click.option("--best", default=8, metavar="N", help="Of every kernel, for TVM's database.")
@_store_option
def export_(file: str, metaschedule: bool, best: int, store: str | None) -> None:
    """Write all records to FILE, lines of compressed JSON that `import` reads."""
    if metaschedule:
        _export_metaschedule(Path(file), max(1, best), store)
        return
    from sqlalchemy import true

    from chameleon_tuner.records.lines import write_lines
    from chameleon_tuner.records.portable import read_portable
    from chameleon_tuner.report.numbers import plural

    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    if not path.parent.is_dir() or path.is_dir():
        raise OutputError(f"{file} cannot be written: name a file in a folder that exists")
    with _opened(store) as opened, opened.reading() as connection:
        try:
            with part.open("wb") as stream:
                found = (record for _, record in read_portable(connection, true()))
                count = write_lines(stream, found)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    click.echo(f"{file}: {plural(count, 'record')}")


@records.command("import")
@click.argument("files", nargs=-1, required=True)
@click.option("--metaschedule", is_flag=True, help="Folders with the files of TVM's databases.")
@_store_option
def import_(files: Sequence[str], metaschedule: bool, store: str | None) -> None:
    """Add the records of FILES of `export`; a file that is damaged adds nothing."""
    if metaschedule:
        _import_metaschedule([Path(file) for file in files], store)
        return
    from chameleon_tuner.records.lines import read_lines

    for file in files:  # before a store is made, or some of them were added
        deque(read_lines(Path(file)), maxlen=0)
    with _opened(store, create=True) as opened:
        for file in files:
            _told(file, opened.add(read_lines(Path(file))))


def _export_metaschedule(folder: Path, best: int, store: str | None) -> None:
    from chameleon_tuner.app.database import export_files
    from chameleon_tuner.report.numbers import plural

    with _opened(store) as opened:
        place = opened.place
    with NativeMessages():
        count = export_files(place, folder, best)
    click.echo(f"{folder}: {plural(count, 'record')}")


def _import_metaschedule(folders: Sequence[Path], store: str | None) -> None:
    from chameleon_tuner.app.database import import_files
    from chameleon_tuner.report.numbers import plural

    with NativeMessages():
        found = [import_files(folder) for folder in folders]
    with _opened(store, create=True) as opened:
        for folder, (records, left_out) in zip(folders, found, strict=True):
            _told(str(folder), opened.add(records))
            if left_out:
                what = plural(left_out, "record")
                click.echo(f"  {what} cannot be used: no timing, or schedules of other rules")


@records.command()
@click.argument("places", nargs=-1, required=True)
@_store_option
def merge(places: Sequence[str], store: str | None) -> None:
    """Add the records of other stores: files, folders of runs, or database URLs."""
    from sqlalchemy import true

    from chameleon_tuner.records.portable import read_portable

    with _opened(store, create=True) as opened:
        for place in places:
            with _opened(place) as other, other.reading() as connection:
                _told(place, opened.add(one for _, one in read_portable(connection, true())))


@records.command()
@click.option("--keep-best", type=int, metavar="N", help="Of every kernel on every device.")
@click.option("--older-than", metavar="AGE", help="Delete only what is older, such as 90d or 12h.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@_store_option
def prune(keep_best: int | None, older_than: str | None, dry_run: bool, store: str | None) -> None:
    """Delete records that are no longer wanted, all but the fastest of every kernel."""
    from chameleon_tuner.records import upkeep
    from chameleon_tuner.report.numbers import plural

    if keep_best is None and older_than is None:
        raise UsageError("say what may go: --keep-best N, --older-than 90d, or both")
    if keep_best is not None and keep_best < 1:
        raise UsageError(f"--keep-best {keep_best}: keep at least one")
    before = None if older_than is None else datetime.now(timezone.utc) - _age(older_than)
    with _opened(store) as opened, opened.writing() as connection:
        going = upkeep.to_prune(connection, keep_best, before)
        if not dry_run:
            upkeep.prune(connection, going)
    what = "would be deleted" if dry_run else "deleted"
    click.echo(f"{plural(len(going), 'record')} {what}")


@records.command()
@_store_option
def verify(store: str | None) -> None:
    """Check that the database is whole and that every record can be read; nothing is changed."""
    from chameleon_tuner.records.upkeep import faults
    from chameleon_tuner.report.numbers import plural

    with _opened(store) as opened, opened.reading() as connection:
        found = list(faults(connection))
        name = opened.name
    for line in found[:_MOST_FAULTS]:
        click.echo(line)
    if found:
        raise RecordsError(
            f"{name}: {plural(len(found), 'fault')}; export what can be read, or put a copy back"
        )
    click.echo(f"{name}: sound")


_MOST_FAULTS = 20


def _told(place: str, added: int) -> None:
    from chameleon_tuner.report.numbers import plural

    click.echo(f"{place}: {plural(added, 'new record')}")


@contextmanager
def _opened(place: str | None, *, create: bool = False) -> Iterator[RecordStore]:
    """Open a store, the user's by default; it has to exist unless it may be created."""
    from chameleon_tuner.app.sharing import place_of
    from chameleon_tuner.records import RecordStore
    from chameleon_tuner.system.files import RECORDS

    chosen = place_of(place)
    if chosen is None:
        raise UsageError("there is no store: give --store PLACE")
    if "://" not in str(chosen):
        path = Path(chosen)
        if path.is_dir():
            path = path / RECORDS
        if not create and not path.exists():
            raise RecordsError(f"{path}: nothing was recorded there; name another --store")
        if create and place is None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = path
    with RecordStore.open(chosen) as store:
        yield store


def _age(text: str) -> timedelta:
    """Return an age such as `90d` or `12h`.

    Raises:
        UsageError: The text is none.
    """
    found = re.fullmatch(r"(\d+)\s*([dhw])", text.strip())
    if not found:
        raise UsageError(f"--older-than {text}: write 90d, 12h or 2w")
    unit = {"h": "hours", "d": "days", "w": "weeks"}[found[2]]
    try:
        return timedelta(**{unit: int(found[1])})
    except OverflowError:
        raise UsageError(f"--older-than {text}: nothing is as old as that") from None


def _plain(one: Measured) -> dict[str, Any]:
    return {
        "kernel": one.workload.hash,
        "name": one.workload.name,
        **one.workload.facts,
        "device": one.environment.device,
        "threads": one.environment.threads,
        "versions": dict(one.environment.versions),
        "trials": {status.value: count for status, count in one.trials.items()},
        "best_us": None if one.best_secs is None else one.best_secs * 1e6,
        "measured": one.latest.isoformat(),
    }


def _counts(one: Measured) -> str:
    return ", ".join(f"{n} {s.value.replace('_', ' ')}" for s, n in one.trials.items())


def _decisions(workload: Any, outcome: Any) -> str:
    """Return the decisions of a configuration, or its indices where its space is not known."""
    from chameleon_tuner.app.summary import readable

    try:
        return " ".join(map(str, readable(workload.design_space(), outcome.configuration)))
    except (UsageError, ValueError, IndexError):
        return str(outcome.configuration.to_json())
