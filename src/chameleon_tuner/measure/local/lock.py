"""A machine-wide lock for any number of simultaneous builds, or for a single timed run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


class MachineLock:
    """A file lock that is held shared while building, and exclusively while a kernel is timed.

    One build at the same time makes a timed kernel 2.0 to 2.6 times as slow, also if the build
    belongs to another run of the tool. If a process dies, the operating system releases its lock.

    Args:
        path: Path of the file; by default one in the folder for temporary files, which all runs on
            the machine share.
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
        # All users share the file of the first one. It is opened for reading, and at first without
        # O_CREAT, which Linux refuses for another user's file in a folder such as /tmp.
        with contextlib.suppress(FileNotFoundError):
            return os.open(self._path, os.O_RDONLY)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o644)  # the umask may have removed permissions
        return descriptor

    def building(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that holds the lock shared."""
        return self._held(fcntl.LOCK_SH)

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that holds the lock exclusively."""
        return self._held(fcntl.LOCK_EX)
