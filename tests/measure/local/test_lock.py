from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from chameleon_tuner.measure.local.lock import MachineLock

HOLDER = """
import sys, time
from pathlib import Path
from chameleon_tuner.measure.local.lock import MachineLock
with getattr(MachineLock(Path(sys.argv[1])), sys.argv[2])():
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path, how: str) -> subprocess.Popen[str]:
    """Another process that holds the lock, or waits for it."""
    arguments = [sys.executable, "-c", HOLDER, str(path), how]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gets(lock: MachineLock, how: str, secs: float) -> bool:
    """Whether the lock can be had within a time."""
    got = threading.Event()

    def take() -> None:
        with getattr(lock, how)():
            got.set()

    threading.Thread(target=take, daemon=True).start()
    return got.wait(secs)


@pytest.mark.parametrize(
    ("held", "wanted", "had"),
    [
        ("building", "building", True),
        ("building", "running", False),
        ("running", "building", False),
        ("running", "running", False),
    ],
)
def test_builds_share_and_runs_exclude(tmp_path: Path, held: str, wanted: str, had: bool) -> None:
    lock = MachineLock(tmp_path / "lock")
    with holder(tmp_path / "lock", held) as other:
        assert says(other) == "held"
        assert gets(lock, wanted, 5.0 if had else 0.3) == had
        other.kill()


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path / "lock", "running") as other:
        assert says(other) == "held"
        os.kill(other.pid, signal.SIGKILL)
        assert gets(MachineLock(tmp_path / "lock"), "running", 5.0)


def test_who_waits_gets_it(tmp_path: Path) -> None:
    with MachineLock(tmp_path / "lock").running():
        other = holder(tmp_path / "lock", "building")
    with other:
        assert says(other) == "held"
        other.kill()


def test_an_exception_lets_go(tmp_path: Path) -> None:
    lock = MachineLock(tmp_path / "lock")
    with pytest.raises(ValueError, match="inside"), lock.running():
        raise ValueError("inside")
    assert gets(lock, "running", 5.0)


def test_another_users_lock_file_serves_too(tmp_path: Path) -> None:
    """A file that may only be read: that of another user in a shared folder."""
    path = tmp_path / "lock"
    path.touch()
    path.chmod(stat.S_IRUSR)
    with holder(path, "running") as other:
        assert says(other) == "held"
        assert not gets(MachineLock(path), "building", 0.3)
        other.kill()
