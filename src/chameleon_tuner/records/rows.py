"""Functions that insert, find and read rows of the tables, in the caller's transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Text,
    func,
    insert,
    literal,
    select,
    type_coerce,
    update,
)

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status, structural_hash_of
from chameleon_tuner.ports.records import (
    Environment,
    Measurement,
    Record,
    RunInfo,
    StoredRun,
    StoredTiming,
    Workload,
)
from chameleon_tuner.records.schema import ALIAS, ENVIRONMENT, RECORD, RUN, SAMPLE, TIMING, WORKLOAD

Condition = ColumnElement[bool]


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(timezone.utc)


def put_workload(connection: Connection, workload: Workload) -> int:
    """Return the id of a workload, which is inserted if it is new.

    A workload of an earlier version, without a space, gets that of the new one.
    """
    space = {"space": workload.space, "family": workload.family, "facts": dict(workload.facts)}
    fields = {"hash": workload.hash, "name": workload.name, "module": workload.module, **space}
    workload_id = _put(connection, WORKLOAD, "hash", fields)
    if workload.space:
        bare = (WORKLOAD.c.id == workload_id) & (WORKLOAD.c.space == "")
        connection.execute(update(WORKLOAD).where(bare).values(space))
    return workload_id


def put_environment(connection: Connection, environment: Environment) -> int:
    """Return the id of an environment, which is inserted if it is new."""
    fields = {
        "fingerprint": environment.fingerprint,
        "target": environment.target,
        "device": environment.device,
        "threads": environment.threads,
        "versions": dict(environment.versions),
    }
    return _put(connection, ENVIRONMENT, "fingerprint", fields)


def put_run(connection: Connection, run: RunInfo, created_at: datetime | None = None) -> int:
    """Return the id of a run, which is inserted if it is new.

    Args:
        connection: Connection in a writing transaction.
        run: The run.
        created_at: When a new run was created; now by default.

    Returns:
        The id.
    """
    fields = {
        "fingerprint": run.fingerprint,
        "created_at": created_at or now(),
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
    """Return the condition that selects the records of a workload in an environment.

    It selects nothing if the workload or the environment is not stored.
    """
    in_workload = select(WORKLOAD.c.id).where(WORKLOAD.c.hash == workload.hash)
    fingerprint = environment.fingerprint
    in_environment = select(ENVIRONMENT.c.id).where(ENVIRONMENT.c.fingerprint == fingerprint)
    return (RECORD.c.workload_id == in_workload.scalar_subquery()) & (
        RECORD.c.environment_id == in_environment.scalar_subquery()
    )


def read(connection: Connection, condition: Condition) -> dict[int, Record]:
    """Return the selected records by their id, in the order in which they were measured."""
    query = (
        select(RECORD.c.id, SAMPLE.c.seconds)
        .join(SAMPLE)
        .where(condition, SAMPLE.c.purpose == RECORD.c.purpose)
        .order_by(RECORD.c.id, SAMPLE.c.position)
    )
    samples = grouped(connection.execute(query).all())
    texts = (type_coerce(RECORD.c[name], Text).label(name) for name in _JSON)
    others = (column for column in RECORD.c if column.name not in _JSON)
    query = select(*others, *texts).where(condition).order_by(RECORD.c.id)
    found = connection.execute(query).all()
    return {row.id: _record(row, samples.get(row.id, ())) for row in found}


_JSON = ("configuration", "proposed", "message")
"""Columns of JSON that are parsed here: most messages are empty, and most configurations are those
that were proposed, so that a kernel's history is read in half of the time."""


@lru_cache(maxsize=64)
def _configuration(text: str) -> Configuration:
    return Configuration.from_json(json.loads(text))


def measurements(connection: Connection, purpose: str) -> list[Measurement]:
    """Return all records of a purpose in the order in which they were measured.

    Args:
        connection: Connection in a transaction.
        purpose: What they were measured for.

    Returns:
        The records with the identities of their workloads and environments.
    """
    records = read(connection, RECORD.c.purpose == purpose)
    query = (
        select(RECORD.c.id, WORKLOAD.c.hash, ENVIRONMENT.c.fingerprint)
        .join_from(RECORD, WORKLOAD)
        .join_from(RECORD, ENVIRONMENT)
        .where(RECORD.c.purpose == purpose)
        .order_by(RECORD.c.id)
    )
    return [
        Measurement(workload, environment, records[number])
        for number, workload, environment in connection.execute(query)
    ]


def read_aliases(
    connection: Connection, condition: Condition, records: dict[int, Record]
) -> list[Outcome]:
    """Return outcomes of the other configurations that led to the modules of the records.

    Args:
        connection: Connection in a transaction.
        condition: The condition that selected the records.
        records: The selected records by their id.

    Returns:
        An outcome for every alias: that of its record, with the alias's own `configuration` and
        `proposed`.
    """
    return [outcome for _, outcome in read_aliases_by_id(connection, condition, records)]


def read_aliases_by_id(
    connection: Connection, condition: Condition, records: dict[int, Record]
) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcomes of `read_aliases` with the ids of their records.

    Args:
        connection: Connection in a transaction.
        condition: The condition that selected the records.
        records: The selected records by their id.

    Yields:
        The id of a record, and the outcome of one of its aliases.
    """
    query = select(ALIAS).join(RECORD).where(condition).order_by(RECORD.c.id, ALIAS.c.position)
    for row in connection.execute(query):
        yield (
            row.record_id,
            replace(
                records[row.record_id].outcome,
                configuration=Configuration.from_json(row.configuration),
                proposed=Configuration.from_json(row.proposed),
            ),
        )


def other_samples(
    connection: Connection, condition: Condition
) -> dict[int, dict[str, tuple[float, ...]]]:
    """Return the samples beside those of a record's own purpose, by its id and their purpose."""
    query = (
        select(RECORD.c.id, SAMPLE.c.purpose, SAMPLE.c.seconds)
        .join(SAMPLE)
        .where(condition, SAMPLE.c.purpose != RECORD.c.purpose)
        .order_by(RECORD.c.id, SAMPLE.c.purpose, SAMPLE.c.position)
    )
    by_key = grouped(((row[0], row[1]), row[2]) for row in connection.execute(query))
    found: dict[int, dict[str, tuple[float, ...]]] = defaultdict(dict)
    for (record_id, purpose), secs in by_key.items():
        found[record_id][purpose] = secs
    return found


def grouped(rows: Iterable[Any]) -> dict[Any, tuple[float, ...]]:
    """Group rows of (key, seconds) by key; the seconds of each key keep their order."""
    groups: dict[Any, list[float]] = defaultdict(list)
    for key, seconds in rows:
        groups[key].append(seconds)
    return {key: tuple(seconds) for key, seconds in groups.items()}


def _record(row: Any, samples: Sequence[float]) -> Record:
    outcome = Outcome(
        configuration=_configuration(row.configuration),
        proposed=_configuration(row.proposed),
        structural_hash=structural_hash_of(row.structural_hash),
        status=Status(row.status),
        samples=tuple(samples),
        message="" if row.message == '""' else json.loads(row.message),
        build_secs=row.build_secs,
        run_secs=row.run_secs,
    )
    return Record(row.run_id, row.purpose, row.created_at, outcome)


def runs(connection: Connection) -> list[StoredRun]:
    """Return all runs, oldest first."""
    return [
        StoredRun(row.id, RunInfo(row.model, row.recipe, row.seed, row.settings), row.created_at)
        for row in connection.execute(select(RUN).order_by(RUN.c.id))
    ]


def workloads(connection: Connection) -> list[Workload]:
    """Return all workloads, oldest first."""
    return list(workloads_by_id(connection).values())


def workloads_by_id(
    connection: Connection, condition: Condition | None = None, *, modules: bool = True
) -> dict[int, Workload]:
    """Return the selected workloads by their id, oldest first; all of them without a condition.

    Args:
        connection: Connection in a transaction.
        condition: The condition that selects the workloads.
        modules: Whether modules and spaces, which are long, are read; otherwise they are empty.

    Returns:
        The workloads by their id.
    """
    columns = WORKLOAD.c
    long = (columns.module, columns.space) if modules else (literal(""), literal(""))
    fields = columns.hash, columns.name, *long, columns.family, columns.facts
    query = select(columns.id, *fields).order_by(columns.id)
    if condition is not None:
        query = query.where(condition)
    return {row[0]: Workload(*row[1:]) for row in connection.execute(query)}


def environments(connection: Connection) -> list[Environment]:
    """Return all environments, oldest first."""
    return list(environments_by_id(connection).values())


def environments_by_id(connection: Connection) -> dict[int, Environment]:
    """Return all environments by their id, oldest first."""
    columns = ENVIRONMENT.c
    fields = columns.target, columns.device, columns.threads, columns.versions
    query = select(columns.id, *fields).order_by(columns.id)
    return {row[0]: Environment(*row[1:]) for row in connection.execute(query)}


def count(connection: Connection, run_id: int) -> dict[Status, int]:
    """Return the number of records of a run by status."""
    query = select(RECORD.c.status, func.count()).group_by(RECORD.c.status)
    found = connection.execute(query.where(RECORD.c.run_id == run_id))
    return {Status(status): number for status, number in found}


def samples(
    connection: Connection, condition: Condition, purpose: str
) -> dict[str, tuple[float, ...]]:
    """Return the samples of a purpose by the identity of their record.

    Args:
        connection: Connection in a transaction.
        condition: The condition that selects the records.
        purpose: What the samples were measured for.

    Returns:
        The seconds of each record that has samples of this purpose, in their order.
    """
    query = (
        select(RECORD.c.structural_hash, SAMPLE.c.seconds)
        .join(SAMPLE)
        .where(condition, SAMPLE.c.purpose == purpose)
        .order_by(RECORD.c.id, SAMPLE.c.position)
    )
    return grouped(connection.execute(query))


def timings(connection: Connection, run_id: int) -> list[StoredTiming]:
    """Return the timings of a run that no configuration describes, those of each environment."""
    key = (TIMING.c.environment_id, TIMING.c.workload, TIMING.c.subject, TIMING.c.purpose)
    query = select(*key, TIMING.c.seconds).where(TIMING.c.run_id == run_id)
    found = connection.execute(query.order_by(*key, TIMING.c.position))
    by_key = grouped((tuple(row[:4]), row.seconds) for row in found)
    return [StoredTiming(w or None, s, p, secs) for (_, w, s, p), secs in by_key.items()]
