"""Processes that keep CPUs busy while something else is timed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

_BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""Runs until its parent, whose number it is given, has ended in whatever way."""


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Run a number of processes that compute without a pause, each in one thread."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            process = subprocess.Popen(  # in a session of its own, which Ctrl-C does not reach
                [sys.executable, "-S", "-c", _BUSY, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            running.append(process)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
