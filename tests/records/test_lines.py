"""Records as lines: everything comes back, and what is no such file adds nothing."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.records import Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.lines import read_lines, write_lines
from chameleon_tuner.records.portable import PortableRecord
from chameleon_tuner.testing.contracts.records import outcomes, portable_of
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, WORKLOAD, make_outcome

SPACED = Workload("b2", "dense Ω", "{}", "[]", "f", {"flops": 1.5, "arguments": ["1x2 float32"]})


def stored(batch: Sequence[Outcome]) -> list[PortableRecord]:
    with RecordStore.open("sqlite://") as store:
        run = store.begin(RUN)
        store.append(run, WORKLOAD, ENVIRONMENT, batch)
        store.append(store.begin(replace(RUN, seed=8)), SPACED, ENVIRONMENT, batch[:1])
        return portable_of(store)


def packed(records: Sequence[PortableRecord]) -> bytes:
    stream = io.BytesIO()
    assert write_lines(stream, records) == len(records)
    return stream.getvalue()


def without_ids(records: Sequence[PortableRecord]) -> list[object]:
    """Records without the numbers of their runs, which every store has its own of."""
    return [
        (
            replace(one, run=replace(one.run, id=0), record=replace(one.record, run_id=0)),
            one.workload.space,
            one.workload.family,
            one.workload.facts,
        )
        for one in records
    ]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch=st.lists(outcomes, unique_by=lambda outcome: outcome.identity, max_size=8))
def test_everything_comes_back(tmp_path: Path, batch: list[Outcome]) -> None:
    records = stored(batch)
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(packed(records))
    assert without_ids(list(read_lines(path))) == without_ids(records)
    assert packed(list(read_lines(path))) == path.read_bytes()
    path.write_bytes(gzip.decompress(path.read_bytes()))  # a file that a person has unpacked
    assert without_ids(list(read_lines(path))) == without_ids(records)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    alias = replace(make_outcome(1), proposed=Configuration(2, (2, 2)))
    return gzip.decompress(packed(stored([make_outcome(1), make_outcome(2), alias]))).splitlines()


def test_the_format_is_the_documented_one(lines: list[bytes]) -> None:
    keys = [next(iter(json.loads(line))) for line in lines]
    about = ["workload", "environment", "run"]
    expected = ["records", *about, "record", "record", "workload", "run", "record", "end"]
    assert keys == expected
    record = json.loads(lines[4])["record"]
    assert record["aliases"] == [
        [{"indices": [1, 1], "sketch": 0}, {"indices": [2, 2], "sketch": 2}]
    ]
    assert record["samples"]["search"] == [1e-3 + 1e-7, 1.1e-3]
    assert json.loads(lines[-1]) == {"end": 3}


@pytest.mark.parametrize("cut", ["line", "middle", "packed"])
def test_a_file_that_is_cut_off_says_so(tmp_path: Path, lines: list[bytes], cut: str) -> None:
    path = tmp_path / "cut"
    whole = b"\n".join(lines) + b"\n"
    parts = {
        "line": b"\n".join(lines[:-1]) + b"\n",
        "middle": whole[: len(whole) // 2],
        "packed": gzip.compress(whole)[:-20],
    }
    path.write_bytes(parts[cut])
    with RecordStore.open(tmp_path / "store.db") as store:
        with pytest.raises(RecordsError, match="nothing of it was added"):
            store.add(read_lines(path))
        assert store.workloads() == []


@pytest.mark.parametrize(
    ("number", "old", "new"),
    [
        (0, b"1", b'"1"'),
        (1, b'"hash":"8f3a"', b'"hash":5'),
        (2, b'"threads":2', b'"threads":"two"'),
        (3, b'"seed":7', b'"seed":-7'),
        (4, b'"workload":0', b'"workload":7'),
        (4, b'"workload":0', b'"workload":-1'),
        (4, b'"status":"ok"', b'"status":"splendid"'),
        (4, b'"build_secs":0.0', b'"build_secs":"nan"'),
        (4, b'"indices":[1,1]', b'"indices":[null]'),
        (4, b'"record"', b'"recard"'),
        (9, b"3", b"4"),
    ],
)
def test_damage_is_named_by_its_line(
    tmp_path: Path, lines: list[bytes], number: int, old: bytes, new: bytes
) -> None:
    changed = list(lines)
    assert old in changed[number]
    changed[number] = changed[number].replace(old, new, 1)
    path = tmp_path / "damaged"
    path.write_bytes(b"\n".join(changed))
    where = f"line {number + 1} " if number else "is no file of records"
    with pytest.raises(RecordsError, match=f"{where}.*nothing of it was added"):
        list(read_lines(path))


def test_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_text('{"records": 9}\n{"wonder": 1}\n')
    with pytest.raises(RecordsError, match="upgrade chameleon-tuner"):
        list(read_lines(path))


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"[]", b"{}", b"MZ\x90", b"\x1f\x8bno"])
def test_what_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(RecordsError, match="nothing of it was added"):
        list(read_lines(path))
    with pytest.raises(RecordsError, match="name a file of records"):
        list(read_lines(tmp_path))
    with pytest.raises(RecordsError, match="name a file of records"):
        list(read_lines(tmp_path / "nowhere"))
