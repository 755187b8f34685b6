"""The connection to the database of the records, and its transactions."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, func, select
from sqlalchemy.exc import ArgumentError, DBAPIError

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import migrations
from chameleon_tuner.records.place import Place, resolve


class Claim:
    """The exclusive right of one process to write a run to a database file.

    The end of the process releases the claim, even after kill -9. The claim is an advisory lock on
    a file beside the database, not on the database itself: closing any handle of the database
    would drop the locks that SQLite holds on it. The lock file stays behind, because removing it
    would race with the next claim.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None

    def take(self) -> None:
        """Claim the file; a second call has no effect.

        Raises:
            RecordsError: If another run has claimed it, or if it or its folder is not writable.
        """
        if self._handle is not None:
            return
        effective = os.access in os.supports_effective_ids
        if not os.access(self._database, os.W_OK, effective_ids=effective):
            # Without this check, SQLite would fail only after the first batch was measured.
            raise RecordsError(
                f"{self._database} cannot be written; make it writable, or choose another"
            )
        try:
            handle = os.open(f"{self._database}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RecordsError(
                f"{self._database}.lock cannot be made ({error.strerror}); "
                "make its folder writable, or choose another"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise RecordsError(
                f"{self._database} is in use by another run; "
                "wait until it ends, or choose another folder"
            ) from error
        self._handle = handle

    def release(self) -> None:
        """Release the claim, so that another process can take it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


# The keys are parts of SQLite's messages, because Python 3.10 does not expose its error codes.
_ADVICE = {
    "file is not a database": "is not a records file; name another one, or move it away",
    "malformed": "is damaged; put a copy back, or move it away to start anew",
    "is locked": "is in use by another process; wait until it ends, or choose another folder",
    "disk is full": (
        "cannot grow, the disk is full; make room and run the same command again "
        "(only the last batch is not stored)"
    ),
    "disk I/O error": "cannot be read or written; check the disk and its free space",
    "readonly": "cannot be written; make the file and its folder writable, or choose another",
    "unable to open": (
        "cannot be opened; make sure that its folder exists and is writable, or choose another"
    ),
    "FOREIGN KEY": "does not know that run; begin it first",
    "authentication failed": "refuses the user or the password; check them in the address",
    "no password supplied": "wants a password; give it in the address or in a ~/.pgpass file",
    "does not exist": "is not there; create the database or the user, or check the address",
    "is the server running": "does not answer; start the server, or check the address",
    "connection refused": "does not answer; start the server, or check the address",
    "timeout expired": "does not answer; start the server, or check the address",
    "connection timeout": "does not answer; start the server, or check the address",
    "failed to resolve": "has an unknown host; check the address",
    "could not translate": "has an unknown host; check the address",
    "permission denied": "may not be written by this user; grant the rights, or choose another",
}


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn database errors in the block into a `RecordsError` with one line about `name`."""
    try:
        yield
    except DBAPIError as error:
        raise RecordsError(f"{name} {_advice(str(error.orig))}") from error
    except (ArgumentError, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise RecordsError(
            f"{name} cannot be opened: {reason}; check the address, and install its driver "
            "(for PostgreSQL: pip install 'chameleon-tuner[postgres]')"
        ) from error


def _advice(cause: str) -> str:
    for text, advice in _ADVICE.items():
        if text.lower() in cause.lower():
            return advice
    return f"failed: {' '.join(cause.split())}; check the database and the address"


_POSTGRES_TIMEOUTS = {"connect_timeout": 5, "options": "-c statement_timeout=60000"}
"""Seconds until a server that does not answer counts as down, and milliseconds of a statement."""

_WRITERS = 0x636861_6D656C
"""Key of the lock that writers on a PostgreSQL server hold until they commit. They take turns, as
on SQLite, so that what was looked up is still so when it is inserted: a batch takes milliseconds.
Any number would do."""

_BEGIN = "chameleon_begin"
_PRAGMAS = (
    # With WAL, readers and the writer do not wait for each other.
    "PRAGMA journal_mode = WAL",
    # With WAL, a killed process loses nothing that was committed. Only a power cut can lose the
    # last transactions, each as a whole. Measuring them again takes a few seconds, which does not
    # justify an fsync per batch.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


class Database:
    """A connected database at the current schema version.

    Calls from several threads are served one after the other. It must not be used across a fork.

    Args:
        place: Location of the database.
        timeout_secs: How long a call waits for another process that locks an SQLite file.
        upgrade: Whether a file of an older schema is upgraded; without, a copy of it is read.
    """

    def __init__(self, place: Place, timeout_secs: float, *, upgrade: bool = True) -> None:
        place.check_file()
        self._place = place
        self._closed = False
        self._mutex = threading.RLock()
        self._claim = Claim(place.path) if place.path else None
        with explained(place.name):
            self._engine = _engine(place, timeout_secs)
        try:
            self._prepare(upgrade)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Name of the database in messages; it contains no password."""
        return self._place.name

    @property
    def place(self) -> str:
        """The path or URL of the database, with its password."""
        if self._place.path is not None:
            return str(self._place.path)
        return self._place.url.render_as_string(hide_password=False)

    def claim(self) -> None:
        """Claim the database file for this store; without effect on other databases.

        Raises:
            RecordsError: If another store has claimed it, or if it or its folder is not writable.
        """
        if self._claim:
            self._claim.take()

    def close(self) -> None:
        """Close the connection and release the claim; a second call has no effect."""
        with self._mutex:
            self._closed = True
            self._engine.dispose()
            if self._claim:
                self._claim.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and changes nothing."""
        with self._transaction("BEGIN", "REPEATABLE READ") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is committed as a whole, or rolled back on any exception."""
        # IMMEDIATE waits for the lock here. A reader that becomes a writer later could not wait.
        with self._transaction("BEGIN IMMEDIATE", "READ COMMITTED") as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
            yield connection

    @contextmanager
    def _transaction(self, begin: str, isolation: str = "") -> Iterator[Connection]:
        """Open a transaction: with this statement on SQLite, of this isolation elsewhere."""
        with self._mutex, explained(self._place.name):
            if self._closed:
                raise RecordsError(f"{self._place.name} is closed; open it again")
            sqlite = self._engine.dialect.name == "sqlite"
            options = {_BEGIN: begin} if sqlite else {"isolation_level": isolation}
            with self._engine.execution_options(**options).begin() as connection:
                yield connection

    def _prepare(self, upgrade: bool) -> None:
        # Nothing is written before it is certain that the database is empty or holds records.
        with self.reading() as connection:
            version = migrations.stored_version(connection, self._place.name)
        if version is not None and not upgrade:
            if version < migrations.VERSION and self._place.path is not None:
                self._engine = self._upgraded_copy()
            return
        if self._engine.dialect.name == "sqlite":
            with self._transaction("") as connection:
                self._configure(connection)
        if version == migrations.VERSION:
            return
        with self.writing() as connection:
            # The version is read again, because another process may have prepared the database.
            version = migrations.stored_version(connection, self._place.name)
            if version is None:
                migrations.create(connection)
            else:
                migrations.upgrade(connection, version)

    def _upgraded_copy(self) -> Engine:
        """Return a copy of an old file in memory, at the current schema version."""
        copy = _engine(resolve("sqlite://"), 0.0)
        options = {_BEGIN: ""}
        with (
            self._engine.execution_options(**options).connect() as old,
            copy.execution_options(**options).connect() as new,
        ):
            source, target = old.connection.driver_connection, new.connection.driver_connection
            source.backup(target)  # type: ignore[union-attr]
        self._engine.dispose()
        with copy.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
            found = migrations.stored_version(connection, self._place.name)
            migrations.upgrade(connection, found or migrations.VERSION)
        return copy

    def _configure(self, connection: Connection) -> None:
        page_bytes = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        self._place.check_pages(page_bytes)
        for pragma in _PRAGMAS:
            connection.exec_driver_sql(pragma)


def _engine(place: Place, timeout_secs: float) -> Engine:
    if place.url.get_backend_name() != "sqlite":
        postgres = place.url.get_backend_name() == "postgresql"
        timeouts = (
            _POSTGRES_TIMEOUTS if postgres and place.url.get_driver_name() == "psycopg" else {}
        )
        return create_engine(place.url, connect_args=timeouts, pool_size=1, pool_pre_ping=True)
    # All threads share one connection. Its transactions begin where this module says, and not
    # where the driver guesses.
    options = {"check_same_thread": False, "isolation_level": None, "timeout": timeout_secs}
    engine = create_engine(place.url, poolclass=StaticPool, connect_args=options)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options()[_BEGIN]
    if begin:
        connection.exec_driver_sql(begin)
