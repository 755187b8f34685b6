"""A folder of the version before is run, resumed and upgraded; `assets` keeps one.

It was made by version 0.1.0, schema 1, of `tiny.onnx` beside it, with `--trials 12 --recipe random
--target 'llvm -mcpu=x86-64-v2 -num-cores=2'`.
"""

from __future__ import annotations

import json
import platform
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.app.folder import check_folder
from chameleon_tuner.app.options import Options
from chameleon_tuner.app.progress import Silent
from chameleon_tuner.app.tune import run
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.core.errors import OutputError
from chameleon_tuner.ports.records import FINAL
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.migrations import VERSION
from chameleon_tuner.system.clock import Stopwatch

TARGET = "llvm -mcpu=x86-64-v2 -num-cores=2"
TRIALS = 12
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the library is for x86-64")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(Path(__file__).parent / "assets" / "folder-0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_it_runs(old: Path, chameleon: Callable[..., Any]) -> None:
    import onnxruntime

    x = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    np.savez(old / "x.npz", input=x)
    done = chameleon(
        *("run", old / "folder", "--inputs", old / "x.npz", "--outputs", old / "y.npz", "--bench")
    )
    assert done.returncode == 0, done.stderr
    [expected] = onnxruntime.InferenceSession(str(old / "tiny.onnx")).run(None, {"input": x})
    np.testing.assert_allclose(np.load(old / "y.npz")["output"], expected, rtol=1e-4, atol=1e-5)


def test_its_records_are_upgraded_and_lose_nothing(old: Path) -> None:
    with RecordStore.open(old / "folder" / "records.db") as store:
        [stored] = store.runs()
        assert sum(store.count(stored.id).values()) == TRIALS
        assert len(store.workloads()) == TRIALS
    with sqlite3.connect(old / "folder" / "records.db") as connection:
        query = "SELECT value FROM meta WHERE key = 'schema_version'"
        assert connection.execute(query).fetchone() == (str(VERSION),)


def test_a_folder_of_another_model_is_not_even_upgraded(old: Path) -> None:
    before = (old / "folder" / "records.db").read_bytes()
    with pytest.raises(OutputError, match="different model"):
        check_folder(old / "folder", "another digest")
    assert (old / "folder" / "records.db").read_bytes() == before


def test_it_is_resumed_and_measures_little_again(old: Path) -> None:
    """Its environment is made this machine's, whose timings it would not use otherwise."""
    folder, backend = old / "folder", TVMBackend()
    project = backend.prepare(backend.read(old / "tiny.onnx", TARGET))
    here = project.environment
    with sqlite3.connect(folder / "records.db") as connection:
        connection.execute(
            "UPDATE environment SET fingerprint = ?, device = ?, threads = ?, versions = ?",
            (
                here.fingerprint,
                here.device,
                here.threads,
                json.dumps(dict(here.versions), sort_keys=True, separators=(",", ":")),
            ),
        )
    options = Options(trials=TRIALS, recipe="random", target=TARGET)
    result = run(old / "tiny.onnx", folder, options, Silent(), Stopwatch())
    assert result.verified
    assert result.trials["attempted"] == TRIALS
    with RecordStore.open(folder / "records.db") as store:
        [stored] = store.runs()  # it is the same run
        # The first candidates of a task do not depend on what the floating point of a CPU makes
        # of a cost model; later ones may.
        assert sum(store.count(stored.id).values()) <= TRIALS + 4
        subjects = {timing.subject for timing in store.timings(stored.id)}
        assert {"untuned", "tuned", "onnxruntime"} <= subjects
        assert {timing.purpose for timing in store.timings(stored.id)} == {FINAL}
