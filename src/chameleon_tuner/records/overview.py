"""What a store holds, for people: its workloads, its size, the records of one workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.records import Environment, Record, Workload
from chameleon_tuner.records import rows
from chameleon_tuner.records.schema import ENVIRONMENT, RECORD, RUN, SAMPLE, WORKLOAD


@dataclass(frozen=True)
class Measured:
    """The records of one workload in one environment, summed up.

    Attributes:
        workload: The workload, without its module and its space.
        environment: The environment.
        trials: Numbers of records by status.
        best_secs: Seconds of the fastest `ok` record, the median of its samples; None without one.
        latest: When the last one was stored, UTC.
    """

    workload: Workload
    environment: Environment
    trials: Mapping[Status, int]
    best_secs: float | None
    latest: datetime


@dataclass(frozen=True)
class Totals:
    """The numbers of rows of a store."""

    workloads: int
    environments: int
    runs: int
    samples: int
    records: Mapping[Status, int]


def totals(connection: Connection) -> Totals:
    """Return the numbers of rows."""
    tables = (WORKLOAD, ENVIRONMENT, RUN, SAMPLE)
    workloads, environments, runs, samples = (
        connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
    )
    query = select(RECORD.c.status, func.count()).group_by(RECORD.c.status)
    by_status = {Status(status): number for status, number in connection.execute(query)}
    return Totals(workloads, environments, runs, samples, by_status)


def measured(connection: Connection, limit: int) -> list[Measured]:
    """Return the workloads that were measured last, the latest first.

    Args:
        connection: Connection in a reading transaction.
        limit: The largest number of workloads; one in two environments counts twice.
    """
    place = (RECORD.c.workload_id, RECORD.c.environment_id)
    latest = func.max(RECORD.c.id).label("latest")
    query = select(*place, latest).group_by(*place).order_by(latest.desc()).limit(limit)
    return [_measured(connection, *row[:2]) for row in connection.execute(query).all()]


def find_workload(connection: Connection, text: str) -> tuple[int, Workload]:
    """Return the workload with this hash, a hash that begins so, or this name, with its id.

    Raises:
        UsageError: There is none, or there are several.
    """
    starts = WORKLOAD.c.hash.startswith(text, autoescape=True)
    found = rows.workloads_by_id(connection, starts | (WORKLOAD.c.name == text))
    exact = {key: one for key, one in found.items() if one.hash == text} or found
    if len(exact) == 1:
        return next(iter(exact.items()))
    if not exact:
        raise UsageError(f"no kernel {text!r} is stored; `chameleon records list` has them all")
    hashes = ", ".join(one.hash for one in list(exact.values())[:4])
    raise UsageError(f"{len(exact)} kernels are {text!r}; give the hash of one: {hashes}")


def fastest(
    connection: Connection, workload_id: int, limit: int
) -> list[tuple[Environment, Measured, list[Record]]]:
    """Return the fastest records of a workload in every environment.

    Args:
        connection: Connection in a reading transaction.
        workload_id: Id of the workload.
        limit: The largest number of records of an environment.

    Returns:
        Every environment with the sum of its records and the fastest of them, the fastest first.
    """
    environments = rows.environments_by_id(connection)
    mine = RECORD.c.workload_id == workload_id
    ids = connection.scalars(select(RECORD.c.environment_id).where(mine).distinct()).all()
    found = []
    for key in sorted(ids):
        these = rows.read(connection, mine & (RECORD.c.environment_id == key)).values()
        ran = [record for record in these if record.outcome.status is Status.OK]
        ran.sort(key=lambda record: record.outcome.seconds)
        found.append((environments[key], _measured(connection, workload_id, key), ran[:limit]))
    return found


def _measured(connection: Connection, workload_id: int, environment_id: int) -> Measured:
    mine = (RECORD.c.workload_id == workload_id) & (RECORD.c.environment_id == environment_id)
    records = rows.read(connection, mine).values()
    trials: dict[Status, int] = {}
    for record in records:
        trials[record.outcome.status] = trials.get(record.outcome.status, 0) + 1
    ran = [r.outcome.seconds for r in records if r.outcome.status is Status.OK]
    [workload] = rows.workloads_by_id(
        connection, WORKLOAD.c.id == workload_id, modules=False
    ).values()
    environment = rows.environments_by_id(connection)[environment_id]
    latest = max(record.created_at for record in records)
    return Measured(workload, environment, trials, min(ran, default=None), latest)
