"""One writing process for a records file."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from chameleon_tuner.errors import RecordsError


class Claim:
    """Held by the process whose run writes to a file; its end releases it, kill -9 included.

    An advisory lock on a file beside the database, and not on the database: closing any handle
    of that would drop the locks SQLite holds on it. The lock file stays behind, since removing
    it would race with the next claim.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None

    def take(self) -> None:
        """Claim the file, again without effect; raises RecordsError where another run has it."""
        if self._handle is not None:
            return
        effective = os.access in os.supports_effective_ids
        if not os.access(self._database, os.W_OK, effective_ids=effective):
            # SQLite would say so only when the first batch has been measured.
            raise RecordsError(
                f"{self._database} cannot be written; make it writable, or choose another"
            )
        try:
            handle = os.open(f"{self._database}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise RecordsError(
                f"{self._database}.lock cannot be made ({error.strerror}); "
                "make its folder writable, or choose another"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise RecordsError(
                f"{self._database} is in use by another run; "
                "wait until it ends, or choose another folder"
            ) from error
        self._handle = handle

    def release(self) -> None:
        """Let others claim it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
