"""The database tables in portable SQLAlchemy Core: SQLite by default, PostgreSQL by URL.

Every change here needs a new schema version: a function in `migrations.MIGRATIONS`, and a file of
the old version among the tests' assets.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from chameleon_tuner.ports.records import canonical_json


class JsonText(TypeDecorator[Any]):
    """A column of JSON as ASCII text, which preserves any string, even lone surrogates and NUL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Convert a value for the database."""
        return canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Convert a value from the database."""
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """A column of aware times, stored in UTC without the zone, which SQLite cannot store."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert an aware time for the database."""
        return value and value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert a time from the database."""
        return value and value.replace(tzinfo=timezone.utc)


def _required(name: str, kind: Any, *constraints: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, *constraints, nullable=False, **options)


METADATA = MetaData()

META = Table(
    "meta",
    METADATA,
    Column("key", String, primary_key=True),
    _required("value", String),
)

WORKLOAD = Table(
    "workload",
    METADATA,
    Column("id", Integer, primary_key=True),
    _required("hash", String, unique=True),
    _required("name", Text),
    _required("module", Text),
    # The design space as JSON, and the workload's family; empty where an earlier version stored it.
    _required("space", Text, server_default=""),
    _required("family", String, server_default="", index=True),
    _required("facts", JsonText, server_default="{}"),
)

ENVIRONMENT = Table(
    "environment",
    METADATA,
    Column("id", Integer, primary_key=True),
    _required("fingerprint", String, unique=True),
    _required("target", Text),
    _required("device", Text),
    _required("threads", Integer),
    _required("versions", JsonText),
)

RUN = Table(
    "run",
    METADATA,
    Column("id", Integer, primary_key=True),
    _required("fingerprint", String, unique=True),
    _required("created_at", UtcTime),
    _required("model", Text),
    _required("recipe", Text),
    _required("seed", BigInteger),
    _required("settings", JsonText),
)

RECORD = Table(
    "record",
    METADATA,
    Column("id", Integer, primary_key=True),
    _required("run_id", ForeignKey("run.id"), index=True),
    _required("workload_id", ForeignKey("workload.id")),
    _required("environment_id", ForeignKey("environment.id")),
    _required("purpose", String),
    _required("configuration", JsonText),
    _required("proposed", JsonText),
    # The value of `Outcome.identity`: it holds the configuration if there was no module to hash.
    _required("structural_hash", String),
    _required("status", String),
    _required("message", JsonText),
    _required("build_secs", Double),
    _required("run_secs", Double),
    _required("created_at", UtcTime),
    UniqueConstraint("workload_id", "environment_id", "structural_hash"),
)

ALIAS = Table(
    # Other configurations that led to the module of a record.
    "alias",
    METADATA,
    Column("record_id", ForeignKey("record.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    _required("configuration", JsonText),
    _required("proposed", JsonText),
    sqlite_with_rowid=False,
)

SAMPLE = Table(
    "sample",
    METADATA,
    Column("record_id", ForeignKey("record.id"), primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    _required("seconds", Double),
    sqlite_with_rowid=False,
)

TIMING = Table(
    # Timings without a configuration, those of untuned kernels and of whole models. The workload
    # is a workload's hash, or empty for a whole model.
    "timing",
    METADATA,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("environment_id", ForeignKey("environment.id"), primary_key=True),
    Column("workload", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    _required("seconds", Double),
    sqlite_with_rowid=False,
)
