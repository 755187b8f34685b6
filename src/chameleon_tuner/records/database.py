"""Connecting to the database of the records, and its transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event

from chameleon_tuner.errors import RecordsError
from chameleon_tuner.records import migrations
from chameleon_tuner.records.claim import Claim
from chameleon_tuner.records.faults import explained
from chameleon_tuner.records.place import Place

_BEGIN = "chameleon_begin"
_PRAGMAS = (
    # Readers and the writer do not wait for each other.
    "PRAGMA journal_mode = WAL",
    # With WAL a killed process loses nothing that was committed. Only a power cut can take the
    # last transactions, as a whole; they cost a few seconds of measuring to make again, which is
    # not worth an fsync a batch.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


class Database:
    """A connected database at the present schema version.

    Calls from several threads are served one after the other. Not to be used across a fork.
    """

    def __init__(self, place: Place, timeout_secs: float) -> None:
        place.check_file()
        self._place = place
        self._closed = False
        self._mutex = threading.RLock()
        self._claim = Claim(place.path) if place.path else None
        with explained(place.name):
            self._engine = _engine(place, timeout_secs)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def claim(self) -> None:
        """Become the one store that writes; raises RecordsError where another one is.

        Only a file can be claimed.
        """
        if self._claim:
            self._claim.take()

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        with self._mutex:
            self._closed = True
            self._engine.dispose()
            if self._claim:
                self._claim.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed as a whole, or rolled back on any exception."""
        # IMMEDIATE waits for its turn here; a reader that turns writer later could not wait.
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self._mutex, explained(self._place.name):
            if self._closed:
                raise RecordsError(f"{self._place.name} is closed; open it again")
            engine = self._engine.execution_options(**{_BEGIN: begin})
            with engine.begin() as connection:
                yield connection

    def _prepare(self) -> None:
        # Nothing is written before it is certain that this is a records database, or empty.
        with self.reading() as connection:
            version = migrations.stored_version(connection, self._place.name)
        if self._engine.dialect.name == "sqlite":
            with self._transaction("") as connection:
                self._configure(connection)
        if version == migrations.VERSION:
            return
        with self.writing() as connection:
            # Looked up again: another process may have been as quick.
            version = migrations.stored_version(connection, self._place.name)
            if version is None:
                migrations.create(connection)
            else:
                migrations.upgrade(connection, version)

    def _configure(self, connection: Connection) -> None:
        page_bytes = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        self._place.check_pages(page_bytes)
        for pragma in _PRAGMAS:
            connection.exec_driver_sql(pragma)


def _engine(place: Place, timeout_secs: float) -> Engine:
    if place.url.get_backend_name() != "sqlite":
        return create_engine(place.url)
    # One connection, handed from thread to thread; its transactions begin where this module says
    # so, and not where the driver guesses it.
    options = {"check_same_thread": False, "isolation_level": None, "timeout": timeout_secs}
    engine = create_engine(place.url, poolclass=StaticPool, connect_args=options)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    begin = connection.get_execution_options()[_BEGIN]
    if begin:
        connection.exec_driver_sql(begin)
