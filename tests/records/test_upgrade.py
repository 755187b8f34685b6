"""Files of every released schema stay readable: `assets` has one of each."""

from __future__ import annotations

import json
import runpy
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.records import RecordStore, migrations
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome

ASSETS = Path(__file__).parent / "assets"
VERSIONS = range(1, migrations.VERSION + 1)
dump = runpy.run_path(str(ASSETS / "make.py"))["dump"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copy(ASSETS / "v1.db", tmp_path / "records.db"))


def expected_of(version: int) -> Any:
    """What a file of a version holds after its upgrade."""
    expected = json.loads((ASSETS / f"v{version}.json").read_text())
    if version < 2:  # no timings without a configuration, and a status that was never produced
        expected["timings"] = [[] for _ in expected["runs"]]
        for counts in expected["counts"]:
            counts["run_error"] += counts.pop("wrong_output")
        for place in expected["places"]:
            for outcomes in place["outcomes"].values():
                for outcome in outcomes:
                    if outcome["status"] == "wrong_output":
                        outcome["status"] = "run_error"
    if version < 3:  # no design spaces
        for workload in expected["workloads"]:
            workload |= {"space": "", "family": "", "facts": {}}
    return expected


def test_a_workload_of_an_old_file_gets_its_space_when_it_is_met_again(old: Path) -> None:
    with RecordStore.open(old) as store:
        bare = store.workloads()[0]
        known = replace(bare, space='[[{"kind":"choice","values":[1,2]}]]', family="f1")
        store.append(store.begin(RUN), known, ENVIRONMENT, [])
        found = store.workloads()[0]
        assert (found.space, found.family) == (known.space, known.family)
        store.append(store.begin(RUN), replace(known, space="[]", family="f2"), ENVIRONMENT, [])
        assert store.workloads()[0].space == known.space  # the first one stays


def add_column(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE run ADD COLUMN note TEXT"))


def fail(connection: Connection) -> None:
    raise ZeroDivisionError


def now_with(monkeypatch: pytest.MonkeyPatch, *added: migrations.Migration) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, *added))
    monkeypatch.setattr(migrations, "VERSION", migrations.VERSION + len(added))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_file_has_everything_it_had(tmp_path: Path, version: int) -> None:
    place = Path(shutil.copy(ASSETS / f"v{version}.db", tmp_path / "records.db"))
    expected = expected_of(version)
    with RecordStore.open(place) as store:
        assert json.loads(json.dumps(dump(store))) == expected
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, [make_outcome(77)])
    with RecordStore.open(place) as store:
        assert store.outcomes(WORKLOAD, ENVIRONMENT)[-1] == make_outcome(77)


def test_the_asset_of_this_version_is_what_this_code_writes(tmp_path: Path) -> None:
    make = runpy.run_path(str(ASSETS / "make.py"))["make"]
    expected = expected_of(migrations.VERSION)
    with RecordStore.open(make(tmp_path)) as store:
        written = json.loads(json.dumps(dump(store)))
    for run, before in zip(written["runs"], expected["runs"], strict=True):
        run["created_at"] = before["created_at"]
    assert written == expected


def columns(path: Path) -> dict[str, list[object]]:
    connection = sqlite3.connect(path)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in names}
    connection.close()
    return found


def test_the_schema_has_not_changed_without_a_version(tmp_path: Path) -> None:
    RecordStore.open(tmp_path / "records.db").close()
    assert columns(tmp_path / "records.db") == columns(ASSETS / f"v{migrations.VERSION}.db")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_file_is_read_without_changing_it(tmp_path: Path, version: int) -> None:
    place = Path(shutil.copy(ASSETS / f"v{version}.db", tmp_path / "records.db"))
    before = place.read_bytes()
    with RecordStore.open(place, upgrade=False) as store:
        assert json.loads(json.dumps(dump(store))) == expected_of(version)
    assert place.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["records.db"]


def test_a_migration_runs_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        now_with(later, add_column)
        for _ in range(2):
            RecordStore.open(old).close()
    with pytest.raises(RecordsError, match="newer version"):
        RecordStore.open(old)


def test_a_new_file_needs_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_with(monkeypatch, fail)
    for _ in range(2):
        RecordStore.open(tmp_path / "records.db").close()


def test_a_migration_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        now_with(later, add_column, fail)
        with pytest.raises(ZeroDivisionError):
            RecordStore.open(old)
    now_with(monkeypatch, add_column)
    with RecordStore.open(old) as store:
        assert store.runs()
