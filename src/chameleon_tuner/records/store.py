"""The store of records: the only interface of the database to the rest of the tool."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from types import TracebackType

from sqlalchemy import Connection, select

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import (
    REPEAT,
    SEARCH,
    Environment,
    Measurement,
    Memory,
    PastSearch,
    RunInfo,
    StoredRun,
    StoredTiming,
    Workload,
)
from chameleon_tuner.records import appending, portable, rows
from chameleon_tuner.records.database import Database
from chameleon_tuner.records.place import resolve
from chameleon_tuner.records.portable import PortableRecord
from chameleon_tuner.records.schema import RECORD, RUN

BUSY_TIMEOUT_SECS = 5.0
"""Default time that a call waits for another process. Storing a batch takes milliseconds."""


class RecordStore:
    """Append-only records of measurements.

    Durability: every call that stores something is one transaction. A process that is killed loses
    at most the batch that it was storing, as a whole.

    Ownership: after `begin`, no other store can run a search into the same file until `close` or
    the end of the process. Any number of other stores may read at the same time. A database server
    is not claimed: there, the user has to make sure that only one run writes at a time. Several
    threads may use a store; their calls are served one after the other. A store must not be used
    across a fork.

    Every method raises a `RecordsError` if the database cannot be read or written, if another
    process keeps it locked, and after `close`.

    Args:
        database: The connected database; see `open`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def open(
        place: str | Path, *, timeout_secs: float = BUSY_TIMEOUT_SECS, upgrade: bool = True
    ) -> RecordStore:
        """Open the records at a path or a database URL; they are created if they do not exist.

        A file of an older version is upgraded in one transaction.

        Args:
            place: A file in an existing folder, or an SQLAlchemy URL: `postgresql+psycopg://...`,
                or `sqlite://` for records in memory that end with the store.
            timeout_secs: How long a call waits for another process.
            upgrade: Whether a file of an older version is upgraded. Without, it is not changed: a
                copy in memory is upgraded and read.

        Returns:
            The open store; it is a context manager.

        Raises:
            RecordsError: If the place holds something other than records (which then stays
                unchanged), is damaged, was written by a newer version, or cannot be reached or
                written.
        """
        return RecordStore(Database(resolve(place), timeout_secs, upgrade=upgrade))

    def close(self) -> None:
        """Close the database and release its file; a second call has no effect."""
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
        """Start a run, or continue the run with the same description, and return its id.

        Raises:
            RecordsError: If another store, in this or another process, runs into the same file.
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
        """Store a batch as a whole or not at all.

        An outcome whose identity is stored already, for instance earlier in the same batch, does
        not replace the stored outcome. Its configuration is kept as an alias, and its samples are
        kept with the purpose `REPEAT`.

        Args:
            run_id: Id of the run, from `begin`.
            workload: The kernel that was measured.
            environment: Where it was measured.
            outcomes: The outcomes of the batch, in the order of measurement.
            purpose: What they were measured for.

        Returns:
            The outcomes as every later `lookup` recalls them: each with its own `configuration`
            and `proposed`, and all other fields from the first outcome of its identity. A search
            that continues with these outcomes takes the same path again when it is resumed.

        Raises:
            ValueError: If a time is NaN, or the purpose is `REPEAT`.
        """
        if purpose == REPEAT:
            raise ValueError(f"{REPEAT!r} is reserved for timings of what is stored already")
        for outcome in outcomes:
            _check_secs(outcome.build_secs, outcome.run_secs, *outcome.samples)
        with self._database.writing() as connection:
            workload_id = rows.put_workload(connection, workload)
            environment_id = rows.put_environment(connection, environment)
            batch = appending.BatchIds(run_id, workload_id, environment_id, purpose)
            return appending.append(connection, batch, outcomes)

    def add_samples(
        self,
        workload: Workload,
        environment: Environment,
        structural_hash: str,
        purpose: str,
        samples: Sequence[float],
    ) -> None:
        """Append more timings to the record of a module.

        Args:
            workload: The kernel that was timed.
            environment: Where it was timed.
            structural_hash: Structural hash of the module.
            purpose: What the samples were measured for.
            samples: Seconds of each timed run.

        Raises:
            KeyError: If there is no record of that module.
            ValueError: If a sample is NaN, or if the record was appended with the same purpose:
                the samples that `lookup` recalls never change.
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

    def add_timing(self, run_id: int, environment: Environment, timing: StoredTiming) -> None:
        """Append timings of something that no configuration describes.

        Args:
            run_id: Id of the run that timed it.
            environment: Where it was timed.
            timing: What was timed, and the seconds.

        Raises:
            ValueError: If a timing is NaN.
        """
        _check_secs(*timing.seconds)
        with self._database.writing() as connection:
            environment_id = rows.put_environment(connection, environment)
            appending.add_timing(connection, run_id, environment_id, timing)

    def add(self, records: Iterable[PortableRecord], run: RunInfo | None = None) -> int:
        """Add records of another store, as far as they are not stored yet, in one transaction.

        The first measurement of a module in an environment stands. No claim is needed: any number
        of processes may add records at the same time.

        Args:
            records: The records.
            run: The run that they are stored for; each record's own by default.

        Returns:
            The number of records that were added.
        """
        with self._database.writing() as connection:
            run_id = None if run is None else rows.put_run(connection, run)
            added, rest = 0, iter(records)
            while some := list(islice(rest, portable.CHUNK)):
                added += portable.write_portable(connection, some, run_id)
            return added

    # -- reading

    @property
    def name(self) -> str:
        """The place of the store for people; it contains no password."""
        return self._database.name

    @property
    def place(self) -> str:
        """The path or URL that opens the store, with its password."""
        return self._database.place

    def writing(self) -> AbstractContextManager[Connection]:
        """Return a transaction that is committed as a whole, for this package's statements."""
        return self._database.writing()

    def reading(self) -> AbstractContextManager[Connection]:
        """Return a transaction that sees one state of the database, for this package's queries."""
        return self._database.reading()

    def run_id(self, run: RunInfo) -> int | None:
        """Return the id of a run, or None if it is not stored."""
        with self._database.reading() as connection:
            query = select(RUN.c.id).where(RUN.c.fingerprint == run.fingerprint)
            return connection.scalar(query)

    def portable(self, run_id: int, after: int = 0) -> list[tuple[int, PortableRecord]]:
        """Return the records of a run whose ids are larger than `after`, with their ids."""
        with self._database.reading() as connection:
            mine = RECORD.c.run_id == run_id
            return list(portable.read_portable(connection, mine, after))

    def past(self, run_id: int) -> list[PastSearch]:
        """Return what is stored for a run, by workload and environment."""
        return portable.past_searches(record for _, record in self.portable(run_id))

    def runs(self) -> list[StoredRun]:
        """Return all runs, oldest first."""
        with self._database.reading() as connection:
            return rows.runs(connection)

    def workloads(self) -> list[Workload]:
        """Return all workloads, oldest first."""
        with self._database.reading() as connection:
            return rows.workloads(connection)

    def environments(self) -> list[Environment]:
        """Return all environments, oldest first."""
        with self._database.reading() as connection:
            return rows.environments(connection)

    def count(self, run_id: int) -> dict[Status, int]:
        """Return how many measurements a run stored by status; recalled ones do not count."""
        with self._database.reading() as connection:
            return rows.count(connection, run_id)

    def measurements(self, purpose: str = SEARCH) -> list[Measurement]:
        """Return all measurements of a purpose, of every run, in the order of measurement.

        Args:
            purpose: What they were measured for.

        Returns:
            One measurement for each module of a workload in an environment.
        """
        with self._database.reading() as connection:
            return rows.measurements(connection, purpose)

    def outcomes(
        self, workload: Workload, environment: Environment, purpose: str = SEARCH
    ) -> list[Outcome]:
        """Return the outcomes that were appended with a purpose, equal to what was measured.

        Args:
            workload: The kernel that was measured.
            environment: Where it was measured.
            purpose: What the measurements were for.

        Returns:
            The outcomes in the order of measurement, one for each identity.
        """
        condition = rows.about(workload, environment) & (RECORD.c.purpose == purpose)
        with self._database.reading() as connection:
            return [record.outcome for record in rows.read(connection, condition).values()]

    def samples(
        self, workload: Workload, environment: Environment, purpose: str
    ) -> dict[str, tuple[float, ...]]:
        """Return all timings of a purpose by identity.

        Args:
            workload: The kernel that was timed.
            environment: Where it was timed.
            purpose: What the timings were for.

        Returns:
            Seconds of each timed run by `Outcome.identity`, in the order of timing.
        """
        condition = rows.about(workload, environment)
        with self._database.reading() as connection:
            return rows.samples(connection, condition, purpose)

    def timings(self, run_id: int) -> list[StoredTiming]:
        """Return the timings of a run that no configuration describes, in no particular order."""
        with self._database.reading() as connection:
            return rows.timings(connection, run_id)

    def lookup(self, workload: Workload, environment: Environment) -> Memory:
        """Return a memory of all measurements so far, of every run and every purpose."""
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
