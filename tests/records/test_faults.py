"""What can be wrong with a place of records, and what the user is told."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed records file with 100 records."""
    path = tmp_path / "records.db"
    with RecordStore.open(path) as store:
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(number) for number in range(100)])
    return path


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def refusal(place: str | Path, **options: float) -> str:
    """The message with which a place is refused."""
    with pytest.raises(RecordsError) as raised:
        RecordStore.open(place, **options)
    message = str(raised.value)
    assert "\n" not in message
    return message


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def cut(keep: Callable[[int], int]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: keep(path.stat().st_size)])

    return apply


def scramble(path: Path) -> None:
    good = path.read_bytes()
    path.write_bytes(good[:4096] + bytes(reversed(good[4096:])))


def replace_by(*statements: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        path.unlink()
        change(path, *statements)

    return apply


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("seconds,1.0\n" * 500), "not a records file"),
    "one byte": (lambda path: path.write_bytes(b"x"), "not a records file"),
    "a few bytes": (cut(lambda size: 300), "not a records file"),
    "half of it": (cut(lambda size: size // 2), "damaged"),
    "whole pages missing": (cut(lambda size: size - 4096), "damaged"),
    "the end missing": (cut(lambda size: size - 100), "damaged"),
    "scrambled pages": (scramble, "damaged"),
    "another database": (replace_by("CREATE TABLE song (id)"), "something else"),
    "another meta": (replace_by("CREATE TABLE meta (version)"), "something else"),
    "no version": (
        lambda path: change(path, "DELETE FROM meta WHERE key = 'schema_version'"),
        "something else",
    ),
    "newer": (
        lambda path: change(path, "UPDATE meta SET value = '7' WHERE key = 'schema_version'"),
        "newer version.*upgrade",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_no_records_file_is_refused_and_left_alone(path: Path, kind: str) -> None:
    damage, message = DAMAGES[kind]
    damage(path)
    before = contents(path.parent)
    with pytest.raises(RecordsError, match=message):
        RecordStore.open(path)
    assert str(path) in refusal(path)
    assert contents(path.parent) == before


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    place = tmp_path / "records.db"
    place.touch()
    with RecordStore.open(place) as store:
        assert store.runs() == []


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{}", "not a file"),
        ("/dev/null", "not a file"),
        ("{}/missing/records.db", "folder exists"),
        ("{}/\0.db", "no path"),
        ("sqlite:///{}", "not a file"),
        ("sqlite:///{}/missing/records.db", "folder exists"),
        ("nonsense://user:secret@host/name", "driver"),
        ("postgresql+asyncpg://user:secret@host/name", "driver"),
        ("://", "address"),
        ("sqlite://host:not-a-port/x:secret", "address"),
    ],
)
def test_what_cannot_be_a_place_is_refused(tmp_path: Path, place: str, message: str) -> None:
    said = refusal(place.format(tmp_path))
    assert message in said
    assert "secret" not in said


# -- places that cannot be written


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere: be somebody else."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def their_folder() -> Iterator[Path]:
    """A folder of the user that `unprivileged` becomes, outside of root's own."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield Path(name)
        Path(name).chmod(0o700)


def test_a_read_only_folder_is_refused(their_folder: Path) -> None:
    their_folder.chmod(0o500)
    with unprivileged():
        assert "writable" in refusal(their_folder / "records.db")
    assert contents(their_folder) == {}


@pytest.fixture
def their_file(path: Path, their_folder: Path) -> Path:
    """A records file in that folder that may only be read."""
    theirs = their_folder / "records.db"
    theirs.write_bytes(path.read_bytes())
    theirs.chmod(0o444)
    return theirs


def test_a_read_only_file_can_only_be_read(their_file: Path) -> None:
    with unprivileged(), RecordStore.open(their_file) as store:
        assert len(store.outcomes(WORKLOAD, ENVIRONMENT)) == 100
        with pytest.raises(RecordsError, match="writable"):
            store.begin(RUN)


def test_a_read_only_folder_is_refused_with_a_file_in_it(their_file: Path) -> None:
    before = their_file.read_bytes()
    their_file.parent.chmod(0o500)
    with unprivileged():
        assert "writable" in refusal(their_file)
    assert contents(their_file.parent) == {"records.db": before}


def test_a_hidden_folder_is_refused(their_folder: Path) -> None:
    their_folder.chmod(0o000)
    with unprivileged():
        assert "cannot be opened" in refusal(their_folder / "records.db")


# -- places that are full


@contextmanager
def at_most(pages: int) -> Iterator[None]:
    """Every new connection to SQLite has a disk of so many pages."""

    def limit(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    event.listen(Engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(Engine, "connect", limit)


def append_until_full(store: RecordStore, first: int) -> int:
    """Append batches of ten; how many records fitted."""
    run = store.begin(RUN)
    for start in range(first, first + 10_000, 10):
        batch = [make_outcome(number) for number in range(start, start + 10)]
        try:
            store.append(run, WORKLOAD, ENVIRONMENT, batch)
        except RecordsError as error:
            assert "disk is full" in str(error)  # noqa: PT017
            return start
    raise AssertionError("the disk was never full")


def test_a_full_disk_loses_only_the_batch_in_flight(path: Path) -> None:
    with at_most(30), RecordStore.open(path) as store:
        stored = append_until_full(store, 100)
        assert stored > 100
        assert len(store.outcomes(WORKLOAD, ENVIRONMENT)) == stored
        assert append_until_full(store, stored) == stored
    with RecordStore.open(path) as store:
        rest = [make_outcome(number) for number in range(stored, stored + 10)]
        store.append(store.begin(RUN), WORKLOAD, ENVIRONMENT, rest)
        expected = [make_outcome(number) for number in range(stored + 10)]
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == expected


def test_no_room_for_a_new_file(tmp_path: Path) -> None:
    with at_most(3):
        assert "disk is full" in refusal(tmp_path / "records.db")
    with RecordStore.open(tmp_path / "records.db") as store:
        assert store.runs() == []


LIMITED = """
import resource, sys
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
store = RecordStore.open(sys.argv[1])
run = store.begin(RUN)
try:
    for start in range(0, 100_000, 10):
        batch = [make_outcome(number) for number in range(start, start + 10)]
        store.append(run, WORKLOAD, ENVIRONMENT, batch)
except RecordsError as error:
    print(start, error)
"""


def test_a_write_that_the_system_refuses_loses_only_its_batch(tmp_path: Path) -> None:
    place = tmp_path / "records.db"
    command = [sys.executable, "-c", LIMITED, str(place)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stored, _, message = output.partition(" ")
    assert "free space" in message
    with RecordStore.open(place) as store:
        expected = [make_outcome(number) for number in range(int(stored))]
        assert store.outcomes(WORKLOAD, ENVIRONMENT) == expected


# -- places that are in use


@contextmanager
def locked(path: Path, *statements: str) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    yield
    connection.close()


def test_a_locked_file_is_an_error_and_not_a_hang(path: Path) -> None:
    with RecordStore.open(path, timeout_secs=0.1) as store:
        with locked(path, "BEGIN IMMEDIATE"):
            with pytest.raises(RecordsError, match="in use by another process"):
                store.begin(RUN)
            assert len(store.outcomes(WORKLOAD, ENVIRONMENT)) == 100
        store.begin(RUN)


def test_a_file_that_is_locked_when_it_is_opened(path: Path) -> None:
    statements = "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "SELECT * FROM meta"
    with locked(path, *statements):
        assert "in use by another process" in refusal(path, timeout_secs=0.1)


def test_one_process_may_not_begin_twice(path: Path) -> None:
    with RecordStore.open(path) as first, RecordStore.open(path) as second:
        first.begin(RUN)
        with pytest.raises(RecordsError, match="in use by another run"):
            second.begin(RUN)
        first.close()
        second.begin(RUN)


def test_a_lock_file_that_cannot_be_made(path: Path) -> None:
    lock = Path(f"{path}.lock")
    lock.unlink()
    lock.mkdir()
    with RecordStore.open(path) as store, pytest.raises(RecordsError, match="cannot be made"):
        store.begin(RUN)


def test_damage_that_shows_later_is_explained(path: Path) -> None:
    with RecordStore.open(path) as store:
        scramble(path)
        with pytest.raises(RecordsError, match="damaged"):
            store.outcomes(WORKLOAD, ENVIRONMENT)
