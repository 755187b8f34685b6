"""Ctrl-C, kill -9, and the same command again: nothing is lost, nothing is measured twice."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

# The first batches are equal shares: of 8 kernels, and of two more ways to compute two of them.
TRIALS, BATCH = 40, 3


@contextlib.contextmanager
def tuning(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A run in its own process group, which is gone at the end whatever happens."""
    with subprocess.Popen(
        command, stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def read_batches(process: subprocess.Popen[str], count: int) -> list[str]:
    """What it says until so many batches are done."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        count -= f"/{TRIALS}" in line
        if count == 0:
            return said
    raise AssertionError("".join(said))


def wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def recorded(folder: Path) -> list[str]:
    """The identities in the records, in the order of measuring."""
    with contextlib.closing(sqlite3.connect(folder / "records.db")) as connection:
        query = "SELECT workload_id, environment_id, structural_hash FROM record ORDER BY id"
        return [repr(row) for row in connection.execute(query)]


def test_a_run_survives_everything(tiny_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["tune", str(tiny_onnx), "--out", str(folder), "--trials", str(TRIALS)]
    command = [sys.executable, "-m", "chameleon_tuner", *arguments]

    # Ctrl-C goes to the whole process group.
    with tuning(command) as process:
        read_batches(process, 1)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        wait_until_gone(family)
    assert out == ""
    last = err.splitlines()[-1]
    found = re.fullmatch(
        r"interrupted; (\d+) trials are saved in .*/out/, the same command goes on from there", last
    )
    assert found, err
    assert all(line.startswith("[") for line in err.splitlines()[:-1]), err
    after_ctrl_c = recorded(folder)
    assert len(after_ctrl_c) == int(found[1]) >= BATCH

    # kill -9 of the main process alone.
    with tuning(command) as process:
        said = read_batches(process, 1)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        wait_until_gone(family)
    assert f"known: {len(after_ctrl_c)} trials in the records, not measured again" in said[1]
    after_kill = recorded(folder)
    assert after_kill[: len(after_ctrl_c)] == after_ctrl_c
    assert len(after_kill) > len(after_ctrl_c)

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"known: {len(after_kill)} trials" in done.stderr
    assert f"{TRIALS} trials ({len(after_kill)} of them in an earlier run)" in done.stdout
    records = recorded(folder)
    assert records[: len(after_kill)] == after_kill
    assert len(records) == len(set(records)) == TRIALS
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["trials"]["attempted"] == TRIALS


def test_ctrl_c_before_there_is_anything(tiny_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["tune", str(tiny_onnx), "--out", str(folder), "--trials", "8"]
    with tuning([sys.executable, "-m", "chameleon_tuner", *arguments]) as process:
        while not psutil.Process(process.pid).children():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    # Python ends by the signal when it came while a dataclass was made: 130 to a shell, too.
    assert process.returncode in (130, -signal.SIGINT)
    assert (out, err.splitlines()[0].partition(" before")[0]) == ("", "interrupted")
