"""`chameleon records`: what people see of the store, and what they may do to it."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chameleon_tuner.cli import main
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.records import Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import matmul_space
from chameleon_tuner.testing.made import ENVIRONMENT, RUN, make_outcome

TASK = Task("dense_1", "0xfeed01", "", {}, matmul_space(), flops=2e6, arguments=("1x64 float32",))
Said = Callable[..., "tuple[int, str, str]"]

OTHER = Workload("0xfeed02", "dense_1", "")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "records.db"
    space = TASK.space
    [one, two] = space.configurations(space.sample(2, np.random.default_rng(0)))
    with RecordStore.open(place) as store:
        run = store.begin(RUN)
        batch = [
            make_outcome(1, configuration=one, proposed=one, samples=(3e-6,)),
            make_outcome(2, configuration=two, proposed=two, samples=(2e-6, 4e-6, 2e-6)),
            make_outcome(3, status=Status.BUILD_ERROR, samples=(), configuration=one, proposed=one),
        ]
        store.append(run, Workload.of(TASK), ENVIRONMENT, batch)
        store.append(run, OTHER, replace(ENVIRONMENT, device="b"), [make_outcome(4)])
    (tmp_path / "records.db.lock").unlink()
    return place


@pytest.fixture
def said(place: Path, capfd: pytest.CaptureFixture[str]) -> Said:
    def run(*words: str, store: Path | None = place) -> tuple[int, str, str]:
        code = main(["records", *words, *(["--store", str(store)] if store else [])])
        return code, *capfd.readouterr()

    return run


def test_a_list_of_kernels(said: Said) -> None:
    code, out, err = said("list")
    head, *rows = out.splitlines()
    assert (code, err) == (0, "")
    titles = ["kernel", "name", "arguments", "device", "threads", "trials", "best us", "measured"]
    assert re.split(r"  +", head.strip()) == titles
    cells = [re.split(r"  +", row.strip()) for row in rows]
    assert [row[:7] for row in cells] == [
        ["0xfeed02", "dense_1", "-", "b", "2", "1", "1,050"],
        ["0xfeed01", "dense_1", "1x64 float32", "some cpu", "2", "3", "2.00"],
    ]
    found = json.loads(said("list", "--json", "--limit", "1")[1])
    assert [one["kernel"] for one in found] == ["0xfeed02"]


def test_a_kernel_with_its_decisions(said: Said) -> None:
    code, out, _ = said("show", "0xfeed01", "--best", "1")
    assert code == 0
    assert "1x64 float32" in out
    assert "some cpu, 2 threads; 2 ok, 1 build error" in out
    [line] = [line for line in out.splitlines() if " us " in line]
    assert re.match(r" +2 us  \[\d+, ", line)  # factors of tiles, and not indices
    for wrong, said_of_it in (("dense_1", "give the hash of one: 0xfeed01, 0xfeed02"), ("x", "no")):
        code, _, err = said("show", wrong)
        assert code == 2
        assert said_of_it in err


def test_numbers(said: Said, place: Path) -> None:
    _, out, _ = said("stats")
    assert out.splitlines() == [
        str(place),
        "  4 records",
        "  6 timings",
        "  2 kernels",
        "  2 environments",
        "  1 run",
        "  3 ok, 1 build error",
    ]


def test_an_export_is_imported_once(said: Said, tmp_path: Path) -> None:
    file, other = tmp_path / "x.jsonl.gz", tmp_path / "other.db"
    assert said("export", str(file))[:2] == (0, f"{file}: 4 records\n")
    for count in ("4 new records", "0 new records"):
        assert said("import", str(file), store=other)[1] == f"{file}: {count}\n"
    assert said("stats", store=other)[1].splitlines()[1:] == said("stats")[1].splitlines()[1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.db", "records.db", file.name]


def test_of_several_files_one_that_is_damaged_adds_nothing(said: Said, tmp_path: Path) -> None:
    good, bad, other = (tmp_path / name for name in ("good.gz", "bad.gz", "other.db"))
    said("export", str(good))
    bad.write_bytes(good.read_bytes()[:-30])
    code, _, err = said("import", str(good), str(bad), store=other)
    assert code == 2
    assert "bad.gz" in err
    assert not other.exists()


def test_a_run_is_merged_by_its_folder(said: Said, tmp_path: Path, tuned_folder: Path) -> None:
    folder = tmp_path / "tuned"
    folder.mkdir()
    shutil.copy(tuned_folder / "records.db", folder)
    code, out, _ = said("merge", str(folder))
    assert (code, out) == (0, f"{folder}: 24 new records\n")
    assert said("verify")[0] == 0
    assert "fused_conv2d" in said("list", store=folder)[1]
    assert said("merge", str(tmp_path / "nowhere"))[0] == 2


def test_pruning_keeps_the_best(said: Said) -> None:
    for words, expected in (
        (["--older-than", "1d"], "0 records deleted"),
        (["--keep-best", "1", "--dry-run"], "2 records would be deleted"),
        (["--keep-best", "1"], "2 records deleted"),
        (["--keep-best", "1"], "0 records deleted"),
    ):
        assert said("prune", *words)[1].strip() == expected
    _, out, _ = said("stats")
    assert out.splitlines()[1:6] == [
        "  2 records",
        "  5 timings",
        "  2 kernels",
        "  2 environments",
        "  1 run",
    ]
    assert said("prune", "--older-than", "0d")[1].strip() == "2 records deleted"
    assert said("stats")[1].splitlines()[1:6] == [
        f"  0 {noun}" for noun in ("records", "timings", "kernels", "environments", "runs")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what may go"),
        (["--keep-best", "0"], "keep at least one"),
        (["--older-than", "soon"], "write 90d, 12h or 2w"),
        (["--older-than", "99999999999d"], "nothing is as old as that"),
    ],
)
def test_what_may_go_has_to_be_said(said: Said, words: list[str], message: str) -> None:
    code, _, err = said("prune", *words)
    assert code == 2
    assert message in err


def test_faults_are_named(said: Said, place: Path) -> None:
    assert said("verify")[:2] == (0, f"{place}: sound\n")
    connection = sqlite3.connect(place)
    sick = json.dumps({"sketch": 0, "indices": [10**6]})
    connection.execute("UPDATE record SET configuration = ? WHERE id = 1", (sick,))
    connection.execute("DELETE FROM sample WHERE record_id = 4")
    connection.execute("UPDATE sample SET seconds = -1 WHERE record_id = 2 AND position = 0")
    connection.execute("UPDATE environment SET device = 'changed' WHERE id = 1")
    connection.commit()
    connection.close()
    code, out, err = said("verify")
    assert code == 2
    assert "4 faults" in err
    assert [line.partition(": ")[2] for line in out.splitlines()] == [
        "its fingerprint is not that of its fields",
        "its configuration is not of the design space",
        "a timing is not positive",
        "it ran, but has no timing",
    ]


def test_a_store_that_is_not_there(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere.db"
    for words in (["list"], ["stats"], ["verify"], ["export", str(tmp_path / "x")]):
        code, _, err = said(*words, store=nowhere)
        assert code == 2
        assert f"{nowhere}: nothing was recorded there" in err
    assert not nowhere.exists()
    code, _, err = said("list", store=None)  # CHAMELEON_STORE is empty
    assert code == 2
    assert "give --store PLACE" in err
    own = tmp_path / "data"
    monkeypatch.delenv("CHAMELEON_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(own))
    assert said("list", store=None)[0] == 2
    assert not own.exists()


def test_the_plain_space_is_what_the_store_has(place: Path) -> None:
    with RecordStore.open(place) as store:
        assert json.loads(store.workloads()[0].space) == to_plain(TASK.space)
        assert store.workloads()[0].design_space() == TASK.space
