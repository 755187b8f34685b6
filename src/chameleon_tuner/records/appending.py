"""Appending outcomes to the records; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, insert, select

from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.records.entries import REPEAT
from chameleon_tuner.records.rows import Condition, now, read
from chameleon_tuner.records.schema import ALIAS, RECORD, SAMPLE

_CHUNK = 500
"""Identities looked up at once; SQLite takes 999 parameters before its version 3.32."""


class Batch(NamedTuple):
    """What the outcomes of a batch have in common; the ids of its rows."""

    run_id: int
    workload_id: int
    environment_id: int
    purpose: str


class _Stored(NamedTuple):
    record_id: int
    outcome: Outcome


def append(connection: Connection, batch: Batch, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Store a batch; the outcomes come back as they will be recalled.

    What was stored first with an identity answers for every later outcome of that identity. The
    later one leaves its configuration as an alias and its samples as repeats.
    """
    stored = _find(connection, batch, [outcome.identity for outcome in outcomes])
    fresh: dict[str, Outcome] = {}
    repeats = []
    for outcome in outcomes:
        name = outcome.identity
        if name in stored or name in fresh:
            repeats.append(outcome)
        else:
            fresh[name] = outcome
    stored |= _insert(connection, batch, fresh)
    for outcome in repeats:
        _repeat(connection, stored[outcome.identity], outcome)
    return [_as_asked(stored[outcome.identity].outcome, outcome) for outcome in outcomes]


def add_samples(
    connection: Connection, record_id: int, purpose: str, samples: Sequence[float]
) -> None:
    """Append samples of a purpose to a record, after those it already has."""
    taken = _count(
        connection, SAMPLE, (SAMPLE.c.record_id == record_id) & (SAMPLE.c.purpose == purpose)
    )
    _insert_all(connection, SAMPLE, _sample_rows(record_id, purpose, samples, taken))


def _as_asked(stored: Outcome, outcome: Outcome) -> Outcome:
    return replace(stored, configuration=outcome.configuration, proposed=outcome.proposed)


def _among(batch: Batch, names: Sequence[str]) -> Iterator[Condition]:
    """Conditions that together hold for the records of these identities."""
    mine = (RECORD.c.workload_id == batch.workload_id) & (
        RECORD.c.environment_id == batch.environment_id
    )
    for start in range(0, len(names), _CHUNK):
        yield mine & RECORD.c.structural_hash.in_(names[start : start + _CHUNK])


def _find(connection: Connection, batch: Batch, names: Sequence[str]) -> dict[str, _Stored]:
    return {
        record.outcome.identity: _Stored(record_id, record.outcome)
        for condition in _among(batch, names)
        for record_id, record in read(connection, condition).items()
    }


def _insert(
    connection: Connection, batch: Batch, fresh: Mapping[str, Outcome]
) -> dict[str, _Stored]:
    common = {**batch._asdict(), "created_at": now()}
    rows = [{**common, **_record_row(outcome)} for outcome in fresh.values()]
    _insert_all(connection, RECORD, rows)
    ids: dict[str, int] = {}
    for condition in _among(batch, list(fresh)):
        query = select(RECORD.c.structural_hash, RECORD.c.id).where(condition)
        ids.update(dict(connection.execute(query).all()))
    samples = [
        row
        for name, outcome in fresh.items()
        for row in _sample_rows(ids[name], batch.purpose, outcome.samples)
    ]
    _insert_all(connection, SAMPLE, samples)
    return {name: _Stored(ids[name], outcome) for name, outcome in fresh.items()}


def _record_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "configuration": outcome.configuration.to_json(),
        "proposed": outcome.proposed.to_json(),
        "structural_hash": outcome.identity,
        "status": outcome.status.value,
        "message": outcome.message,
        "build_secs": float(outcome.build_secs),
        "run_secs": float(outcome.run_secs),
    }


def _sample_rows(
    record_id: int, purpose: str, samples: Sequence[float], first: int = 0
) -> list[dict[str, Any]]:
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
    """Keep what an outcome of a known identity adds: another configuration, more samples."""
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
