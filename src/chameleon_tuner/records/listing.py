"""What is stored: runs, workloads, environments, counts, samples; in the caller's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.records.entries import Environment, RunInfo, StoredRun, Workload
from chameleon_tuner.records.rows import Condition, grouped
from chameleon_tuner.records.schema import ENVIRONMENT, RECORD, RUN, SAMPLE, WORKLOAD


def runs(connection: Connection) -> list[StoredRun]:
    """All runs, oldest first."""
    return [
        StoredRun(row.id, RunInfo(row.model, row.recipe, row.seed, row.settings), row.created_at)
        for row in connection.execute(select(RUN).order_by(RUN.c.id))
    ]


def workloads(connection: Connection) -> list[Workload]:
    """All workloads, oldest first."""
    columns = WORKLOAD.c
    query = select(columns.hash, columns.name, columns.module).order_by(columns.id)
    return [Workload(*row) for row in connection.execute(query)]


def environments(connection: Connection) -> list[Environment]:
    """All environments, oldest first."""
    columns = ENVIRONMENT.c
    fields = columns.target, columns.device, columns.threads, columns.versions
    query = select(*fields).order_by(columns.id)
    return [Environment(*row) for row in connection.execute(query)]


def count(connection: Connection, run_id: int) -> dict[Status, int]:
    """The number of a run's records of each status."""
    query = select(RECORD.c.status, func.count()).group_by(RECORD.c.status)
    found = connection.execute(query.where(RECORD.c.run_id == run_id))
    return {Status(status): number for status, number in found}


def samples(
    connection: Connection, condition: Condition, purpose: str
) -> dict[str, tuple[float, ...]]:
    """The seconds of a purpose by the records' identities."""
    query = (
        select(RECORD.c.structural_hash, SAMPLE.c.seconds)
        .join(SAMPLE)
        .where(condition, SAMPLE.c.purpose == purpose)
        .order_by(RECORD.c.id, SAMPLE.c.position)
    )
    return grouped(connection.execute(query))
