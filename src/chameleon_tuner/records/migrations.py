"""The schema version of a database: reading it, creating a schema and upgrading an old one.

All functions run in the caller's transaction, so that a failed migration changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select, text, update

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records.schema import META, METADATA, RECORD, SAMPLE

Migration = Callable[[Connection], None]


def _add_timings(connection: Connection) -> None:
    """Upgrade version 1 to 2: timings without a configuration, and one status less.

    No released program ever stored the status `wrong_output`.
    """
    without_rowid = " WITHOUT ROWID" if connection.dialect.name == "sqlite" else ""
    statements = (
        "CREATE TABLE timing (run_id INTEGER NOT NULL, environment_id INTEGER NOT NULL, "
        "workload VARCHAR NOT NULL, subject VARCHAR NOT NULL, purpose VARCHAR NOT NULL, "
        "position INTEGER NOT NULL, seconds DOUBLE PRECISION NOT NULL, "
        "PRIMARY KEY (run_id, environment_id, workload, subject, purpose, position), "
        "FOREIGN KEY(run_id) REFERENCES run (id), "
        f"FOREIGN KEY(environment_id) REFERENCES environment (id)){without_rowid}",
        "UPDATE record SET status = 'run_error' WHERE status = 'wrong_output'",
    )
    for statement in statements:
        connection.execute(text(statement))


def _add_spaces(connection: Connection) -> None:
    """Upgrade version 2 to 3: design spaces of workloads, and indexes for large stores.

    The space of a workload that is stored already is added when it is met again.
    """
    statements = (
        "ALTER TABLE workload ADD COLUMN space TEXT DEFAULT '' NOT NULL",
        "ALTER TABLE workload ADD COLUMN family VARCHAR DEFAULT '' NOT NULL",
        "ALTER TABLE workload ADD COLUMN facts TEXT DEFAULT '{}' NOT NULL",
        "CREATE INDEX ix_workload_family ON workload (family)",
        "CREATE INDEX ix_record_run_id ON record (run_id)",
    )
    for statement in statements:
        connection.execute(text(statement))


MIGRATIONS: tuple[Migration, ...] = (_add_timings, _add_spaces)
"""Migration n (from 0) upgrades version n + 1 to n + 2. A released migration never changes."""

VERSION = 1 + len(MIGRATIONS)
"""The schema version that this code reads and writes."""

_APPLICATION = "chameleon-tuner records"


def stored_version(connection: Connection, name: str) -> int | None:
    """Return the schema version of a database, or None if it is empty; nothing is changed.

    Args:
        connection: Connection to the database.
        name: Name of the database in error messages.

    Raises:
        RecordsError: If it holds something other than records, or a newer version wrote it.
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
    """Create all tables in an empty database."""
    METADATA.create_all(connection)
    meta = {"application": _APPLICATION, "schema_version": str(VERSION)}
    rows = [{"key": key, "value": value} for key, value in meta.items()]
    connection.execute(insert(META), rows)


def upgrade(connection: Connection, version: int) -> None:
    """Run the migrations from the given version to the current one."""
    for migrate in MIGRATIONS[version - 1 :]:
        migrate(connection)
    entry = update(META).where(META.c["key"] == "schema_version")
    connection.execute(entry.values(value=str(VERSION)))
