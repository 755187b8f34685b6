from __future__ import annotations

from pathlib import Path

import pytest

from chameleon_tuner.records import RecordStore
from chameleon_tuner.testing.contracts.records import DurableStoreContract, StoreContract
from chameleon_tuner.testing.made import RUN


class TestFile(DurableStoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "records?x=#1.db"


class TestMemory(StoreContract):
    @pytest.fixture
    def place(self) -> str:
        return "sqlite://"


def test_a_file_may_be_named_by_a_url(tmp_path: Path) -> None:
    path, detour = tmp_path / "records #1.db", tmp_path / "a folder" / ".." / "records #1.db"
    with RecordStore.open(f"sqlite:///{detour}") as store:
        run = store.begin(RUN)
        with RecordStore.open(path) as same:
            assert [stored.id for stored in same.runs()] == [run]
