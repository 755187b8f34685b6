"""The database's errors in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import ArgumentError, DBAPIError

from chameleon_tuner.errors import RecordsError

# SQLite's own texts: Python 3.10 does not give its error codes.
_ADVICE = {
    "file is not a database": "is not a records file; name another one, or move it away",
    "malformed": "is damaged; put a copy back, or move it away to start anew",
    "is locked": "is in use by another process; wait until it ends, or choose another folder",
    "disk is full": (
        "cannot grow, the disk is full; make room and run the same command again "
        "(only the last batch is not stored)"
    ),
    "disk I/O error": "cannot be read or written; check the disk and its free space",
    "readonly": "cannot be written; make the file and its folder writable, or choose another",
    "unable to open": (
        "cannot be opened; make sure that its folder exists and is writable, or choose another"
    ),
    "FOREIGN KEY": "does not know that run; begin it first",
}


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the database's errors within into a RecordsError of one line about `name`."""
    try:
        yield
    except DBAPIError as error:
        raise RecordsError(f"{name} {_advice(str(error.orig))}") from error
    except (ArgumentError, ModuleNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise RecordsError(
            f"{name} cannot be opened: {reason}; check the address, and install its driver"
        ) from error


def _advice(cause: str) -> str:
    for text, advice in _ADVICE.items():
        if text.lower() in cause.lower():
            return advice
    return f"failed: {' '.join(cause.split())}; check the database and the address"
