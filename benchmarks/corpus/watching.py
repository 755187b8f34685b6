"""Run a command, measure its memory, and end it when it takes too long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT_SECS = 900.0
"""Seconds after which a command is killed."""

POLL_SECS = 0.1


@dataclass(frozen=True)
class Finished:
    """What came of a command.

    Attributes:
        code: Its exit code, negative for a signal; None if it was killed for its time.
        error: The last line of its stderr if it failed.
        secs: Its seconds.
        peak_bytes: The most memory of the process itself, without those that it started.
    """

    code: int | None
    error: str
    secs: float
    peak_bytes: int


def watched(command: Sequence[str], limit_secs: float = LIMIT_SECS) -> Finished:
    """Run a command to its end.

    Args:
        command: The command with its arguments.
        limit_secs: Seconds after which it is killed, with all processes that it started.

    Returns:
        What came of it.
    """
    begin, peak, code = time.monotonic(), 0, None
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        try:
            while (code := process.poll()) is None and time.monotonic() - begin < limit_secs:
                peak = max(peak, _peak_bytes(process.pid))
                time.sleep(POLL_SECS)
        finally:
            _end(process)
        errors.seek(0)
        lines = errors.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Finished(code, _error(code, last, limit_secs), time.monotonic() - begin, peak)


def _peak_bytes(pid: int) -> int:
    """Return the peak of a process that Linux keeps, or its memory now; 0 if it has ended."""
    try:
        found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 if found else psutil.Process(pid).memory_info().rss
    except (OSError, psutil.Error):
        return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and what it started, as far as any of it still runs."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _error(code: int | None, last: str, limit_secs: float) -> str:
    if code is None:
        return f"killed after {limit_secs:.0f} s"
    if code < 0:
        return f"{signal.Signals(-code).name}; {last}"
    return last if code else ""
