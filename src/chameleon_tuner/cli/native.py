"""Messages of native code, which are kept off the user's screen."""

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
from chameleon_tuner.core.errors import ChameleonError, MeasurementError

_STDERR = 2
_TAIL_BYTES = 4000
"""The number of bytes, from the end of the messages, that are shown with an unexpected error."""


class NativeMessages:
    """A context manager that redirects file descriptor 2, standard error.

    TVM's C++ code writes its warnings there, and processes that are started in the block inherit
    the descriptor. The messages go to a temporary file, or to a log after `keep_in`. If the block
    ends with an unexpected error, the end of the messages is shown. If this process crashes, its
    Python stack is shown on the terminal.

    Attributes:
        terminal: The original standard error for the tool's own messages; usable in the block.
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
        """Append the messages so far and all later ones to a file; do nothing if that fails."""
        with contextlib.suppress(OSError):
            self._log = self._cleanup.enter_context(log.open("a+b"))
            self._copy_held()
            self._switch(self._log.fileno())

    @staticmethod
    def _switch(descriptor: int) -> None:
        # `sys.stderr` is None if the process was started without a standard error.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os.dup2(descriptor, _STDERR)

    def _copy_held(self) -> None:
        """Copy new messages from the temporary file to the log.

        Processes that were started before there was a log still write to the temporary file.
        """
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
    except OSError:  # the command was started without a standard error
        return os.open(os.devnull, os.O_WRONLY)


def _expected(error: BaseException) -> bool:
    """Return whether the message of an error is enough, so that native messages need no display."""
    if isinstance(error, MeasurementError):
        return False  # the parent process of the workers died, and its messages say why
    return isinstance(error, ChameleonError | StoppedError | KeyboardInterrupt)
