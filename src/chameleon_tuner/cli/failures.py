"""What a command ends with when it does not end well: one line and an exit code."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import click

from chameleon_tuner.errors import ChameleonError, NothingMeasuredError

BROKEN_PIPE, USAGE, NOTHING_MEASURED, INTERRUPTED = 1, 2, 3, 130
"""The first is what click itself exits with when nobody reads any more."""

_USERS_ERRNOS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}
"""Of the disk and its permissions. Any other OSError is a fault of ours, with its traceback."""


class StoppedError(Exception):
    """Ctrl-C, with what to say about it."""


@dataclass(frozen=True)
class Failure:
    """The end of a command: what standard error says, and the exit code."""

    line: str
    code: int


def of(error: BaseException) -> Failure | None:
    """How a command ends with an error; None for what is not the user's to solve."""
    if isinstance(error, StoppedError):
        return Failure(str(error), INTERRUPTED)
    # Until Python 3.12 an exception of a class being made comes as the cause of a RuntimeError.
    if isinstance(error, KeyboardInterrupt | click.Abort) or isinstance(
        error.__cause__, KeyboardInterrupt
    ):
        return Failure("interrupted", INTERRUPTED)
    if isinstance(error, NothingMeasuredError):
        return _failure(str(error), NOTHING_MEASURED)
    if isinstance(error, ChameleonError):
        return _failure(str(error))
    if isinstance(error, click.ClickException):
        return _failure(_of_click(error))
    if isinstance(error, OSError) and error.errno in _USERS_ERRNOS:
        where = f"{error.filename}: " if error.filename else ""
        return _failure(f"{where}{error.strerror}")
    return None


def _failure(message: str, code: int = USAGE) -> Failure:
    return Failure(f"error: {' '.join(message.split())}", code)


def _of_click(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message}; see `{context.command_path} --help`" if context else message
