"""The store of records: what the rest of the tool sees of the database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.records import appending, listing, rows
from chameleon_tuner.records.database import Database
from chameleon_tuner.records.entries import (
    REPEAT,
    SEARCH,
    Environment,
    Record,
    RunInfo,
    StoredRun,
    Workload,
)
from chameleon_tuner.records.memory import Memory
from chameleon_tuner.records.place import resolve
from chameleon_tuner.records.schema import RECORD

BUSY_TIMEOUT_SECS = 5.0
"""How long a call waits for another process; the transaction of a batch takes milliseconds."""


class RecordStore:
    """Append-only records of measurements.

    Durability: every call that stores is one transaction. A process that is killed at any time
    loses at most the batch in flight, and never a part of a batch.

    Ownership: `begin` makes the store the only one that runs a search into its file, until
    `close` or the end of the process; any number of others may read meanwhile. A database server
    is not claimed: one run at a time is the user's care. A store may be used from several
    threads, whose calls are served one after the other, but not across a fork.

    Every method raises RecordsError when the database cannot be read or written, while another
    process keeps it locked, and after `close`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def open(place: str | Path, *, timeout_secs: float = BUSY_TIMEOUT_SECS) -> RecordStore:
        """Open the records at a path or a database URL; what does not exist yet is made.

        A file of an older version is upgraded, in one transaction.

        Args:
            place: a file, whose folder exists; or an SQLAlchemy URL (`postgresql+psycopg://...`,
                `sqlite://` for records that live as long as the store).
            timeout_secs: how long a call waits for another process.

        Raises:
            RecordsError: it is something else than records (of which nothing changes then), is
                damaged, was written by a newer version, or cannot be reached or written.
        """
        return RecordStore(Database(resolve(place), timeout_secs))

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> RecordStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- writing

    def begin(self, run: RunInfo) -> int:
        """Start a run, or go on with the one of the same description; its id.

        Raises:
            RecordsError: another process, or another store of this one, runs into the same file.
        """
        self._database.claim()
        with self._database.writing() as connection:
            return rows.put_run(connection, run)

    def append(
        self,
        run_id: int,
        workload: Workload,
        environment: Environment,
        outcomes: Sequence[Outcome],
        purpose: str = SEARCH,
    ) -> list[Outcome]:
        """Store a batch, all of it or nothing.

        An outcome whose identity is stored already, be it earlier in the same batch, does not
        replace what is stored: its configuration is kept as an alias, and its samples with the
        purpose `REPEAT`.

        Returns:
            The outcomes as every later `lookup` recalls them: each with its own `configuration`
            and `proposed`, and all else from the first outcome of its identity. A search that
            goes on with these takes the same path again when it is resumed.

        Raises:
            ValueError: a time is NaN, or the purpose is `REPEAT`.
        """
        if purpose == REPEAT:
            raise ValueError(f"{REPEAT!r} is reserved for timings of what is stored already")
        for outcome in outcomes:
            _check_secs(outcome.build_secs, outcome.run_secs, *outcome.samples)
        with self._database.writing() as connection:
            workload_id = rows.put_workload(connection, workload)
            environment_id = rows.put_environment(connection, environment)
            batch = appending.Batch(run_id, workload_id, environment_id, purpose)
            return appending.append(connection, batch, outcomes)

    def add_samples(
        self,
        workload: Workload,
        environment: Environment,
        structural_hash: str,
        purpose: str,
        samples: Sequence[float],
    ) -> None:
        """Append more timings, in seconds, of a module that is stored.

        Raises:
            KeyError: there is no record of that module.
            ValueError: a sample is NaN, or it is the purpose that the record was appended with:
                what is recalled never changes.
        """
        _check_secs(*samples)
        this = RECORD.c.structural_hash == structural_hash
        with self._database.writing() as connection:
            found = rows.read(connection, rows.about(workload, environment) & this)
            if not found:
                raise KeyError(f"no record of module {structural_hash}")
            [(record_id, record)] = found.items()
            if record.purpose == purpose:
                raise ValueError(f"the {purpose!r} samples of this record never change")
            appending.add_samples(connection, record_id, purpose, samples)

    # -- reading

    def runs(self) -> list[StoredRun]:
        """All runs, oldest first."""
        with self._database.reading() as connection:
            return listing.runs(connection)

    def workloads(self) -> list[Workload]:
        """All workloads, oldest first."""
        with self._database.reading() as connection:
            return listing.workloads(connection)

    def environments(self) -> list[Environment]:
        """All environments, oldest first."""
        with self._database.reading() as connection:
            return listing.environments(connection)

    def count(self, run_id: int) -> dict[Status, int]:
        """How many measurements a run stored, by how they ended; without what it recalled."""
        with self._database.reading() as connection:
            return listing.count(connection, run_id)

    def records(
        self, workload: Workload, environment: Environment, purpose: str = SEARCH
    ) -> list[Record]:
        """The measurements appended with a purpose, one an identity, in the order of measuring."""
        condition = rows.about(workload, environment) & (RECORD.c.purpose == purpose)
        with self._database.reading() as connection:
            return list(rows.read(connection, condition).values())

    def outcomes(
        self, workload: Workload, environment: Environment, purpose: str = SEARCH
    ) -> list[Outcome]:
        """The outcomes of `records`: equal to what was measured."""
        return [record.outcome for record in self.records(workload, environment, purpose)]

    def samples(
        self, workload: Workload, environment: Environment, purpose: str
    ) -> dict[str, tuple[float, ...]]:
        """All timings of a purpose, in seconds and in their order, by identity."""
        condition = rows.about(workload, environment)
        with self._database.reading() as connection:
            return listing.samples(connection, condition, purpose)

    def lookup(self, workload: Workload, environment: Environment) -> Memory:
        """Everything measured so far, in whatever run and for whatever purpose, as a memory."""
        condition = rows.about(workload, environment)
        with self._database.reading() as connection:
            records = rows.read(connection, condition)
            aliases = rows.read_aliases(connection, condition, records)
        memory = Memory(record.outcome for record in records.values())
        memory.remember(aliases)
        return memory


def _check_secs(*seconds: float) -> None:
    if any(math.isnan(secs) for secs in seconds):
        raise ValueError("a time in seconds must not be NaN")
