"""Records outside of a database: with everything that they are about, to be added to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.records import (
    FINAL,
    Environment,
    PastSearch,
    Record,
    StoredRun,
    Workload,
)
from chameleon_tuner.records import rows
from chameleon_tuner.records.appending import record_row, sample_rows
from chameleon_tuner.records.schema import ALIAS, ENVIRONMENT, RECORD, SAMPLE, WORKLOAD

CHUNK = 400
"""Records that are read or written at once; before version 3.32, SQLite accepts 999 parameters."""


@dataclass(frozen=True)
class PortableRecord:
    """A record with what it is about.

    Attributes:
        workload: The kernel that was measured.
        environment: Where it was measured.
        run: The run that measured it.
        record: The measurement.
        aliases: Outcomes of other configurations that led to the same module.
        samples: Seconds of further timings by purpose, those of final comparisons and repeats.
    """

    workload: Workload
    environment: Environment
    run: StoredRun
    record: Record
    aliases: tuple[Outcome, ...] = ()
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def read_portable(
    connection: Connection, condition: rows.Condition, after: int = 0
) -> Iterator[tuple[int, PortableRecord]]:
    """Yield the selected records with their ids, in the order of measurement.

    Args:
        connection: Connection in a reading transaction.
        condition: The condition that selects the records.
        after: Only records with larger ids are read.

    Yields:
        Ids and records.
    """
    workloads, environments = _Known(connection, WORKLOAD), _Known(connection, ENVIRONMENT)
    runs = {run.id: run for run in rows.runs(connection)}
    while True:
        query = select(RECORD.c.id, RECORD.c.workload_id, RECORD.c.environment_id)
        some = query.where(condition, RECORD.c.id > after).order_by(RECORD.c.id).limit(CHUNK)
        about = {row.id: row for row in connection.execute(some)}
        if not about:
            return
        after = max(about)
        these = RECORD.c.id.in_(list(about))
        records = rows.read(connection, these)
        aliases: dict[int, list[Outcome]] = defaultdict(list)
        for record_id, outcome in rows.read_aliases_by_id(connection, these, records):
            aliases[record_id].append(outcome)
        samples = rows.other_samples(connection, these)
        for record_id, record in records.items():
            yield (
                record_id,
                PortableRecord(
                    workloads[about[record_id].workload_id],
                    environments[about[record_id].environment_id],
                    runs[record.run_id],
                    record,
                    tuple(aliases[record_id]),
                    samples.get(record_id, {}),
                ),
            )


def past_searches(records: Iterable[PortableRecord]) -> list[PastSearch]:
    """Return records by workload and environment, in the order of their first ones."""
    found: dict[tuple[str, str], list[PortableRecord]] = defaultdict(list)
    for one in records:
        found[one.workload.hash, one.environment.fingerprint].append(one)
    return [
        PastSearch(
            mine[0].workload,
            mine[0].environment,
            [one.record.outcome for one in mine],
            {one.record.outcome.identity: one.samples.get(FINAL, ()) for one in mine},
        )
        for mine in found.values()
    ]


class _Known(dict[int, Any]):
    """Workloads or environments by their id, each read once."""

    def __init__(self, connection: Connection, table: Any) -> None:
        super().__init__()
        self._connection, self._table = connection, table

    def __missing__(self, key: int) -> Any:
        if self._table is WORKLOAD:
            self.update(rows.workloads_by_id(self._connection, WORKLOAD.c.id == key))
        else:
            self.update(rows.environments_by_id(self._connection))
        return self[key]


def write_portable(
    connection: Connection, records: Sequence[PortableRecord], run_id: int | None = None
) -> int:
    """Add records that are not stored yet, and samples of purposes that stored ones do not have.

    The first measurement of a module in an environment stands, as with `RecordStore.append`.

    Args:
        connection: Connection in a writing transaction.
        records: The records.
        run_id: The run that they are stored for; each record's own by default.

    Returns:
        The number of records that were added.
    """
    ids, added = _Ids(connection, run_id), 0
    for place, mine in _by_place(records, ids).items():
        for start in range(0, len(mine), CHUNK):
            added += _add(connection, place, mine[start : start + CHUNK], ids)
    return added


class _Ids:
    """The ids that workloads, environments and runs have in the database that is written to."""

    def __init__(self, connection: Connection, run_id: int | None) -> None:
        self._connection, self._run_id = connection, run_id
        self._workloads: dict[str, int] = {}
        self._environments: dict[str, int] = {}
        self._runs: dict[str, int] = {}

    def place(self, one: PortableRecord) -> tuple[int, int]:
        """Return the ids of a record's workload and environment."""
        workload, environment = one.workload, one.environment
        if workload.hash not in self._workloads:
            self._workloads[workload.hash] = rows.put_workload(self._connection, workload)
        key = environment.fingerprint
        if key not in self._environments:
            self._environments[key] = rows.put_environment(self._connection, environment)
        return self._workloads[workload.hash], self._environments[key]

    def run(self, run: StoredRun) -> int:
        """Return the id of a record's run."""
        if self._run_id is not None:
            return self._run_id
        key = run.info.fingerprint
        if key not in self._runs:
            self._runs[key] = rows.put_run(self._connection, run.info, run.created_at)
        return self._runs[key]


def _by_place(
    records: Iterable[PortableRecord], ids: _Ids
) -> dict[tuple[int, int], list[PortableRecord]]:
    grouped: dict[tuple[int, int], list[PortableRecord]] = defaultdict(list)
    for one in records:
        grouped[ids.place(one)].append(one)
    return grouped


def _add(
    connection: Connection, place: tuple[int, int], mine: Sequence[PortableRecord], ids: _Ids
) -> int:
    """Add records of one place, at most `CHUNK`; return how many were new."""
    named = {one.record.outcome.identity: one for one in reversed(mine)}
    known = _stored(connection, place, named)
    fresh = [one for name, one in named.items() if name not in known][::-1]
    made = [
        {
            "run_id": ids.run(one.run),
            "workload_id": place[0],
            "environment_id": place[1],
            "purpose": one.record.purpose,
            "created_at": one.record.created_at,
            **record_row(one.record.outcome),
        }
        for one in fresh
    ]
    if made:
        connection.execute(insert(RECORD), made)
        known = _stored(connection, place, named)
    _add_samples(connection, known, mine, {one.record.outcome.identity for one in fresh})
    return len(fresh)


def _stored(
    connection: Connection, place: tuple[int, int], named: Mapping[str, Any]
) -> dict[str, int]:
    """Return the ids of the records that have one of the identities."""
    query = select(RECORD.c.structural_hash, RECORD.c.id).where(
        RECORD.c.workload_id == place[0],
        RECORD.c.environment_id == place[1],
        RECORD.c.structural_hash.in_(list(named)),
    )
    return dict(connection.execute(query).all())


def _add_samples(
    connection: Connection,
    ids: Mapping[str, int],
    mine: Sequence[PortableRecord],
    fresh: set[str],
) -> None:
    """Add the samples and aliases of new records, and those that stored records do not have."""
    query = select(SAMPLE.c.record_id, SAMPLE.c.purpose).distinct()
    found = connection.execute(query.where(SAMPLE.c.record_id.in_(ids.values())))
    there = {(record_id, purpose) for record_id, purpose in found}
    samples, aliases = [], []
    for one in mine:
        name = one.record.outcome.identity
        record_id = ids[name]
        timings = dict(one.samples)
        if name in fresh:
            fresh.remove(name)  # a second record of this name is no new one
            timings[one.record.purpose] = one.record.outcome.samples
            aliases += [_alias_row(record_id, *alias) for alias in enumerate(one.aliases)]
        for purpose, secs in timings.items():
            if (record_id, purpose) not in there:
                there.add((record_id, purpose))
                samples += sample_rows(record_id, purpose, secs)
    for table, made in ((SAMPLE, samples), (ALIAS, aliases)):
        if made:
            connection.execute(insert(table), made)


def _alias_row(record_id: int, position: int, outcome: Outcome) -> dict[str, Any]:
    return {
        "record_id": record_id,
        "position": position,
        "configuration": outcome.configuration.to_json(),
        "proposed": outcome.proposed.to_json(),
    }
