"""Messages of native code, kept off the user's screen."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TextIO

from chameleon_tuner.cli.failures import StoppedError
from chameleon_tuner.errors import ChameleonError, MeasurementError

_STDERR = 2
_TAIL_BYTES = 4000
"""Of the messages, shown with an error that nobody expected."""


class NativeMessages:
    """While entered, what is written to file descriptor 2 goes elsewhere.

    TVM's C++ writes its warnings there, and processes that are started meanwhile inherit it. They
    are held in a temporary file, or in a log once there is a place for one. When the block ends
    with an error that is not the user's, their end is shown; a crash of this process shows its
    Python stack on the terminal.

    Attributes:
        terminal: standard error as it was, for our own messages; usable while entered.
    """

    terminal: TextIO

    def __enter__(self) -> NativeMessages:
        self._cleanup = contextlib.ExitStack()
        self._original = _copy_of_stderr()
        self._cleanup.callback(os.close, self._original)
        self.terminal = self._cleanup.enter_context(
            open(self._original, "w", errors="replace", buffering=1, closefd=False)
        )
        self._held: BinaryIO = self._cleanup.enter_context(tempfile.TemporaryFile())
        self._log: BinaryIO | None = None
        self._copied = 0
        self._switch(self._held.fileno())
        if not faulthandler.is_enabled():
            faulthandler.enable(self._original)
            self._cleanup.callback(faulthandler.disable)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._cleanup:
            self._switch(self._original)
            self._copy_held()
            if error is not None and not _expected(error):
                self.terminal.write(self._tail())

    def keep_in(self, log: Path) -> None:
        """Append them to a file, with what was held so far; where that is possible."""
        with contextlib.suppress(OSError):
            self._log = self._cleanup.enter_context(log.open("a+b"))
            self._copy_held()
            self._switch(self._log.fileno())

    @staticmethod
    def _switch(descriptor: int) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # None where it is closed
            sys.stderr.flush()
        os.dup2(descriptor, _STDERR)

    def _copy_held(self) -> None:
        """Processes that were started before there was a log still write to the held file."""
        if self._log is None:
            return
        with contextlib.suppress(OSError):
            size = os.fstat(self._held.fileno()).st_size
            self._log.write(os.pread(self._held.fileno(), size - self._copied, self._copied))
            self._log.flush()
            self._copied = size

    def _tail(self) -> str:
        source = self._log or self._held
        size = os.fstat(source.fileno()).st_size
        begin = max(0, size - _TAIL_BYTES)
        return os.pread(source.fileno(), size - begin, begin).decode(errors="replace")


def _copy_of_stderr() -> int:
    try:
        return os.dup(_STDERR)
    except OSError:  # the command was started without one
        return os.open(os.devnull, os.O_WRONLY)


def _expected(error: BaseException) -> bool:
    """Whether the error says all there is to say."""
    if isinstance(error, MeasurementError):
        return False  # the workers' parent has died, and said why
    return isinstance(error, ChameleonError | StoppedError | KeyboardInterrupt)
