"""The end of a command that fails: one line on standard error and an exit code."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import click

from chameleon_tuner.core.errors import ChameleonError, NothingMeasuredError

BROKEN_PIPE, USAGE, NOTHING_MEASURED, UNVERIFIED, INTERRUPTED = 1, 2, 3, 4, 130
"""The exit codes of failures. That of a broken pipe is click's own."""

_USERS_ERRNOS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}
"""The error numbers of a full disk or missing permissions, which the user can solve.

Any other OSError is a bug of this tool and is shown with its traceback.
"""


class UnverifiedError(Exception):
    """A finished run whose outputs nothing else has confirmed, with the message for the user."""


class StoppedError(Exception):
    """An interruption by Ctrl-C, with the message for the user."""


@dataclass(frozen=True)
class Failure:
    """The end of a command.

    Attributes:
        line: Line on standard error.
        code: Exit code.
    """

    line: str
    code: int


def of(error: BaseException) -> Failure | None:
    """Return how a command ends with an error; None for an error that the user cannot solve."""
    if isinstance(error, StoppedError):
        return Failure(str(error), INTERRUPTED)
    if isinstance(error, UnverifiedError):
        return _failure(str(error), UNVERIFIED)
    # Before Python 3.12, an exception while a class is created is the cause of a RuntimeError.
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
