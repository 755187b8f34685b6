"""The upkeep of a store: what is no longer wanted is deleted, what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, exists, select, text

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.records import Environment, Workload
from chameleon_tuner.records import rows
from chameleon_tuner.records.portable import CHUNK
from chameleon_tuner.records.schema import (
    ALIAS,
    ENVIRONMENT,
    RECORD,
    RUN,
    SAMPLE,
    TIMING,
    WORKLOAD,
)
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.plain import from_plain


def to_prune(connection: Connection, keep_best: int | None, before: datetime | None) -> list[int]:
    """Return the ids of the records that may go.

    Args:
        connection: Connection in a transaction.
        keep_best: The fastest records of every workload in every environment that stay; all that
            are old enough may go without it.
        before: Only records that were stored before this time may go; all without it.

    Returns:
        The ids, in ascending order.
    """
    old = select(RECORD.c.id)
    if before is not None:
        old = old.where(RECORD.c.created_at < before)
    going = set(connection.scalars(old))
    if keep_best:
        place = select(RECORD.c.workload_id, RECORD.c.environment_id).distinct()
        for workload_id, environment_id in connection.execute(place).all():
            mine = RECORD.c.workload_id == workload_id
            there = rows.read(connection, mine & (RECORD.c.environment_id == environment_id))
            ran = [key for key, one in there.items() if one.outcome.status is Status.OK]
            ran.sort(key=lambda key: there[key].outcome.seconds)
            going.difference_update(ran[:keep_best])
    return sorted(going)


def prune(connection: Connection, record_ids: Sequence[int]) -> None:
    """Delete records, and the workloads, environments and runs of which nothing is left."""
    for start in range(0, len(record_ids), CHUNK):
        some = record_ids[start : start + CHUNK]
        for column in (SAMPLE.c.record_id, ALIAS.c.record_id, RECORD.c.id):
            connection.execute(delete(column.table).where(column.in_(some)))
    for table, column in ((WORKLOAD, RECORD.c.workload_id), (ENVIRONMENT, RECORD.c.environment_id)):
        unused = ~exists(select(RECORD.c.id).where(column == table.c.id))
        if table is ENVIRONMENT:
            timed = select(TIMING.c.run_id).where(TIMING.c.environment_id == table.c.id)
            unused &= ~exists(timed)
        connection.execute(delete(table).where(unused))
    used = exists(select(RECORD.c.id).where(RECORD.c.run_id == RUN.c.id)) | exists(
        select(TIMING.c.run_id).where(TIMING.c.run_id == RUN.c.id)
    )
    connection.execute(delete(RUN).where(~used))


def faults(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with a store, a line each; nothing for a sound one."""
    if connection.dialect.name == "sqlite":
        for (line,) in connection.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield f"database: {line}"
        for row in connection.execute(text("PRAGMA foreign_key_check")):
            yield f"database: a row of {row[0]} refers to one of {row[2]} that is not there"
    yield from _environment_faults(connection)
    for key, workload in rows.workloads_by_id(connection).items():
        yield from _workload_faults(connection, key, workload)


def _environment_faults(connection: Connection) -> Iterator[str]:
    known: dict[int, Environment] = rows.environments_by_id(connection)
    for key, fingerprint in connection.execute(select(ENVIRONMENT.c.id, ENVIRONMENT.c.fingerprint)):
        if known[key].fingerprint != fingerprint:
            yield f"environment {key}: its fingerprint is not that of its fields"


def _workload_faults(connection: Connection, key: int, workload: Workload) -> Iterator[str]:
    name = f"kernel {workload.hash[:16]}"
    space: DesignSpace | None = None
    if workload.space:
        try:
            space = from_plain(json.loads(workload.space))
        except (UsageError, ValueError) as error:
            yield f"{name}: {error}"
    try:
        records = rows.read(connection, RECORD.c.workload_id == key)
    except (ValueError, KeyError, TypeError) as error:
        yield f"{name}: a record that cannot be read ({error})"
        return
    for number, record in records.items():
        outcome = record.outcome
        if outcome.status is Status.OK and not outcome.samples:
            yield f"{name}, record {number}: it ran, but has no timing"
        if any(not secs > 0 for secs in outcome.samples):
            yield f"{name}, record {number}: a timing is not positive"
        if space is not None and not space.contains(outcome.configuration):
            yield f"{name}, record {number}: its configuration is not of the design space"
