"""The tables, in portable SQLAlchemy Core: SQLite by default, PostgreSQL by URL.

Changing anything here needs a new version: a function in `migrations.MIGRATIONS`, and a file of
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

from chameleon_tuner.records.entries import canonical_json


class JsonText(TypeDecorator[Any]):
    """JSON as text; ASCII, so that any Python string survives, lone surrogates and NUL too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """To the database."""
        return canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC without its zone, which SQLite could not keep."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return value and value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
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
    _required("run_id", ForeignKey("run.id")),
    _required("workload_id", ForeignKey("workload.id")),
    _required("environment_id", ForeignKey("environment.id")),
    _required("purpose", String),
    _required("configuration", JsonText),
    _required("proposed", JsonText),
    # `Outcome.identity`: holds the configuration where there was no module to hash.
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
