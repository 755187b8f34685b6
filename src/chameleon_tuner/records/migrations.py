"""Schema versions: what a database is, and how it becomes the present one.

Everything happens in the caller's transaction, so that a migration that fails changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, update

from chameleon_tuner.errors import RecordsError
from chameleon_tuner.records.schema import META, METADATA, RECORD, SAMPLE

Migration = Callable[[Connection], None]

MIGRATIONS: tuple[Migration, ...] = ()
"""Number n (from 0) takes version n + 1 to n + 2. Released ones never change."""

VERSION = 1 + len(MIGRATIONS)
"""The schema that this code reads and writes."""

_APPLICATION = "chameleon-tuner records"


def stored_version(connection: Connection, name: str) -> int | None:
    """The schema version of a database, None where it is empty; changes nothing.

    Raises:
        RecordsError: it holds something else than records, or was written by a newer version.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    meta: dict[str, str] = {}
    if {META.name, RECORD.name, SAMPLE.name} <= set(tables):
        query = select(META.c["key"], META.c["value"])
        meta = dict(connection.execute(query).all())
    written = meta.get("schema_version", "")
    if meta.get("application") != _APPLICATION or not written.isdecimal():
        raise RecordsError(f"{name} holds something else than records; name another place")
    version = int(written)
    if version > VERSION:
        raise RecordsError(
            f"{name} was written by a newer version (schema {version}, this one knows {VERSION}); "
            "upgrade chameleon-tuner, or name another file"
        )
    return version


def create(connection: Connection) -> None:
    """Make all tables in an empty database."""
    METADATA.create_all(connection)
    meta = {"application": _APPLICATION, "schema_version": str(VERSION)}
    rows = [{"key": key, "value": value} for key, value in meta.items()]
    connection.execute(insert(META), rows)


def upgrade(connection: Connection, version: int) -> None:
    """Run the migrations that lead on from a version."""
    for migrate in MIGRATIONS[version - 1 :]:
        migrate(connection)
    entry = update(META).where(META.c["key"] == "schema_version")
    connection.execute(entry.values(value=str(VERSION)))
