"""Rows and what they stand for: putting, finding and reading them; in the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, insert, select

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.records.entries import (
    Environment,
    Record,
    RunInfo,
    Workload,
    structural_hash,
)
from chameleon_tuner.records.schema import ALIAS, ENVIRONMENT, RECORD, RUN, SAMPLE, WORKLOAD
from chameleon_tuner.space import Configuration

Condition = ColumnElement[bool]


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(timezone.utc)


def put_workload(connection: Connection, workload: Workload) -> int:
    """The id of a workload, inserted where it is new."""
    fields = {"hash": workload.hash, "name": workload.name, "module": workload.module}
    return _put(connection, WORKLOAD, "hash", fields)


def put_environment(connection: Connection, environment: Environment) -> int:
    """The id of an environment, inserted where it is new."""
    fields = {
        "fingerprint": environment.fingerprint,
        "target": environment.target,
        "device": environment.device,
        "threads": environment.threads,
        "versions": dict(environment.versions),
    }
    return _put(connection, ENVIRONMENT, "fingerprint", fields)


def put_run(connection: Connection, run: RunInfo) -> int:
    """The id of a run, inserted where it is new."""
    fields = {
        "fingerprint": run.fingerprint,
        "created_at": now(),
        "model": run.model,
        "recipe": run.recipe,
        "seed": run.seed,
        "settings": dict(run.settings),
    }
    return _put(connection, RUN, "fingerprint", fields)


def _put(connection: Connection, table: Table, unique: str, fields: dict[str, Any]) -> int:
    query = select(table.c.id).where(table.c[unique] == fields[unique])
    if connection.scalar(query) is None:
        connection.execute(insert(table).values(fields))
    return int(connection.execute(query).scalar_one())


def about(workload: Workload, environment: Environment) -> Condition:
    """Which records are of a workload and an environment; none where these are not stored."""
    in_workload = select(WORKLOAD.c.id).where(WORKLOAD.c.hash == workload.hash)
    fingerprint = environment.fingerprint
    in_environment = select(ENVIRONMENT.c.id).where(ENVIRONMENT.c.fingerprint == fingerprint)
    return (RECORD.c.workload_id == in_workload.scalar_subquery()) & (
        RECORD.c.environment_id == in_environment.scalar_subquery()
    )


def read(connection: Connection, condition: Condition) -> dict[int, Record]:
    """Records by their id, in the order in which they were measured."""
    query = (
        select(RECORD.c.id, SAMPLE.c.seconds)
        .join(SAMPLE)
        .where(condition, SAMPLE.c.purpose == RECORD.c.purpose)
        .order_by(RECORD.c.id, SAMPLE.c.position)
    )
    samples = grouped(connection.execute(query))
    rows = connection.execute(select(RECORD).where(condition).order_by(RECORD.c.id))
    return {row.id: _record(row, samples.get(row.id, ())) for row in rows}


def read_aliases(
    connection: Connection, condition: Condition, records: dict[int, Record]
) -> list[Outcome]:
    """The outcomes of the other configurations that led to these records' modules."""
    query = select(ALIAS).join(RECORD).where(condition).order_by(RECORD.c.id, ALIAS.c.position)
    return [
        replace(
            records[row.record_id].outcome,
            configuration=Configuration.from_json(row.configuration),
            proposed=Configuration.from_json(row.proposed),
        )
        for row in connection.execute(query)
    ]


def grouped(rows: Iterable[tuple[Any, float]]) -> dict[Any, tuple[float, ...]]:
    """Rows of (key, seconds) as the seconds of each key, in their order."""
    groups: dict[Any, list[float]] = defaultdict(list)
    for key, seconds in rows:
        groups[key].append(seconds)
    return {key: tuple(seconds) for key, seconds in groups.items()}


def _record(row: Row[Any], samples: Sequence[float]) -> Record:
    outcome = Outcome(
        configuration=Configuration.from_json(row.configuration),
        proposed=Configuration.from_json(row.proposed),
        structural_hash=structural_hash(row.structural_hash),
        status=Status(row.status),
        samples=tuple(samples),
        message=row.message,
        build_secs=row.build_secs,
        run_secs=row.run_secs,
    )
    return Record(row.run_id, row.purpose, row.created_at, outcome)
