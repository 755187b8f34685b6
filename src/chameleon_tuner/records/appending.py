"""Functions that append outcomes to the records, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, func, insert, select

from chameleon_tuner.core.outcome import DistinctOutcomes, Outcome
from chameleon_tuner.ports.records import REPEAT, StoredTiming
from chameleon_tuner.records.rows import Condition, now, read
from chameleon_tuner.records.schema import ALIAS, RECORD, SAMPLE, TIMING

_CHUNK = 500
"""The most identities in one query. Before version 3.32, SQLite accepts only 999 parameters."""


class BatchIds(NamedTuple):
    """The columns that all outcomes of a batch share.

    Attributes:
        run_id: Id of the run's row.
        workload_id: Id of the workload's row.
        environment_id: Id of the environment's row.
        purpose: What the batch was measured for.
    """

    run_id: int
    workload_id: int
    environment_id: int
    purpose: str


class _Stored(NamedTuple):
    """An outcome in the database, with the id of its row."""

    record_id: int
    outcome: Outcome


def append(connection: Connection, batch: BatchIds, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Store a batch and return its outcomes as they will be recalled.

    The outcome that was stored first with an identity stands for every later outcome with that
    identity. Of a later outcome, the configuration is kept as an alias and the samples as repeats.

    Args:
        connection: Connection in a writing transaction.
        batch: The columns that the outcomes share.
        outcomes: The outcomes of the batch.

    Returns:
        One outcome for each of `outcomes`; see `RecordStore.append`.
    """
    stored = _find(connection, batch, [outcome.identity for outcome in outcomes])
    distinct = DistinctOutcomes(known.outcome for known in stored.values())
    fresh: list[Outcome] = []
    repeats: list[Outcome] = []
    for outcome in outcomes:
        (fresh if distinct.add([outcome]) else repeats).append(outcome)
    stored |= _insert(connection, batch, {outcome.identity: outcome for outcome in fresh})
    for outcome in repeats:
        _repeat(connection, stored[outcome.identity], outcome)
    return [_as_asked(stored[outcome.identity].outcome, outcome) for outcome in outcomes]


def add_samples(
    connection: Connection, record_id: int, purpose: str, samples: Sequence[float]
) -> None:
    """Append samples of a purpose to a record, after the samples of that purpose it already has.

    Args:
        connection: Connection in a writing transaction.
        record_id: Id of the record's row.
        purpose: What the samples were measured for.
        samples: Seconds of each timed run.
    """
    taken = _count(
        connection, SAMPLE, (SAMPLE.c.record_id == record_id) & (SAMPLE.c.purpose == purpose)
    )
    _insert_all(connection, SAMPLE, sample_rows(record_id, purpose, samples, taken))


def add_timing(
    connection: Connection, run_id: int, environment_id: int, timing: StoredTiming
) -> None:
    """Append timings without a configuration, after those that are stored.

    Args:
        connection: Connection in a writing transaction.
        run_id: Id of the run's row.
        environment_id: Id of the environment's row.
        timing: What was timed, and the seconds.
    """
    key = {
        "run_id": run_id,
        "environment_id": environment_id,
        "workload": timing.workload or "",
        "subject": timing.subject,
        "purpose": timing.purpose,
    }
    condition = and_(*(TIMING.c[name] == value for name, value in key.items()))
    first = _count(connection, TIMING, condition)
    rows = [
        {**key, "position": position, "seconds": float(secs)}
        for position, secs in enumerate(timing.seconds, start=first)
    ]
    _insert_all(connection, TIMING, rows)


def _as_asked(stored: Outcome, outcome: Outcome) -> Outcome:
    return replace(stored, configuration=outcome.configuration, proposed=outcome.proposed)


def _among(batch: BatchIds, names: Sequence[str]) -> Iterator[Condition]:
    """Yield conditions that together select the records of these identities."""
    mine = (RECORD.c.workload_id == batch.workload_id) & (
        RECORD.c.environment_id == batch.environment_id
    )
    for start in range(0, len(names), _CHUNK):
        yield mine & RECORD.c.structural_hash.in_(names[start : start + _CHUNK])


def _find(connection: Connection, batch: BatchIds, names: Sequence[str]) -> dict[str, _Stored]:
    return {
        record.outcome.identity: _Stored(record_id, record.outcome)
        for condition in _among(batch, names)
        for record_id, record in read(connection, condition).items()
    }


def _insert(
    connection: Connection, batch: BatchIds, fresh: Mapping[str, Outcome]
) -> dict[str, _Stored]:
    common = {**batch._asdict(), "created_at": now()}
    rows = [{**common, **record_row(outcome)} for outcome in fresh.values()]
    _insert_all(connection, RECORD, rows)
    ids: dict[str, int] = {}
    for condition in _among(batch, list(fresh)):
        query = select(RECORD.c.structural_hash, RECORD.c.id).where(condition)
        ids.update(dict(connection.execute(query).all()))
    samples = [
        row
        for name, outcome in fresh.items()
        for row in sample_rows(ids[name], batch.purpose, outcome.samples)
    ]
    _insert_all(connection, SAMPLE, samples)
    return {name: _Stored(ids[name], outcome) for name, outcome in fresh.items()}


def record_row(outcome: Outcome) -> dict[str, Any]:
    """Return the columns of a record that come from its outcome."""
    return {
        "configuration": outcome.configuration.to_json(),
        "proposed": outcome.proposed.to_json(),
        "structural_hash": outcome.identity,
        "status": outcome.status.value,
        "message": outcome.message,
        "build_secs": float(outcome.build_secs),
        "run_secs": float(outcome.run_secs),
    }


def sample_rows(
    record_id: int, purpose: str, samples: Sequence[float], first: int = 0
) -> list[dict[str, Any]]:
    """Return the rows of samples of one purpose.

    Args:
        record_id: Id of the record.
        purpose: What was timed.
        samples: Seconds of each timed run.
        first: Position of the first of them.

    Returns:
        The rows, in order.
    """
    return [
        {"record_id": record_id, "purpose": purpose, "position": position, "seconds": float(secs)}
        for position, secs in enumerate(samples, start=first)
    ]


def _insert_all(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _count(connection: Connection, table: Table, condition: Condition) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(condition)) or 0


def _repeat(connection: Connection, stored: _Stored, outcome: Outcome) -> None:
    """Store the samples of an outcome whose identity is known, and its configuration if new."""
    add_samples(connection, stored.record_id, REPEAT, outcome.samples)
    proposed = outcome.proposed.to_json()
    mine = ALIAS.c.record_id == stored.record_id
    known = _count(connection, ALIAS, mine & (ALIAS.c.proposed == proposed))
    if known or outcome.proposed == stored.outcome.proposed:
        return
    alias = {
        "record_id": stored.record_id,
        "position": _count(connection, ALIAS, mine),
        "proposed": proposed,
        "configuration": outcome.configuration.to_json(),
    }
    _insert_all(connection, ALIAS, [alias])
