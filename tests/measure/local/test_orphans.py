"""Nobody outlives anybody: killed and interrupted programs leave no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent

GRACE_SECS = 2.0


def start(how: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The program, and its nursery and workers."""
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "parent_process.py"), how],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    return parent, [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]


def all_gone(processes: list[psutil.Process]) -> bool:
    end = time.monotonic() + GRACE_SECS
    while any(map(alive, processes)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, processes))


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", ["hang", "fork"])
def test_a_killed_parent_leaves_nobody_behind(how: str) -> None:
    parent, family = start(how)
    with parent:
        time.sleep(0.2)  # the workers hang by now
        assert [alive(process) for process in family] == [True] * 3
        parent.kill()
        assert all_gone(family)


def test_ctrl_c_is_the_parents_business() -> None:
    parent, family = start("hang")
    with parent:
        time.sleep(0.2)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does it: to everybody
        output, _ = parent.communicate(timeout=20)
    assert output == "interrupted, goes on on\n"
    assert parent.returncode == 0
    assert all_gone(family)
