"""A machine-wide lock: any number of builds at once, or one timed run, never both."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


class MachineLock:
    """Held shared while building and exclusively while a kernel is timed.

    One build beside it slows a timed kernel 2.0 to 2.6 times, also when it is another run of the
    tool. The kernel releases the lock of a process that dies.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(tempfile.gettempdir()) / "chameleon-tuner.lock"

    @contextlib.contextmanager
    def _held(self, how: int) -> Iterator[None]:
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        # The first user's file serves all: for reading, and without O_CREAT, which Linux refuses
        # for the file of somebody else in a folder like /tmp.
        with contextlib.suppress(FileNotFoundError):
            return os.open(self._path, os.O_RDONLY)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o644)  # whatever the umask
        return descriptor

    def building(self) -> contextlib.AbstractContextManager[None]:
        """Hold it shared."""
        return self._held(fcntl.LOCK_SH)

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Hold it exclusively."""
        return self._held(fcntl.LOCK_EX)
