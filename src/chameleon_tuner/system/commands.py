"""Commands in processes of their own: timed, limited, and killed with everything they start."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chameleon_tuner.system import guard

_FILE_BYTES = 4 * 2**30
"""Default of `Command.file_bytes`: a program that prints without end must not fill the disk."""


@dataclass(frozen=True)
class Command:
    """A command to run.

    Attributes:
        words: The program and its arguments; no shell reads them.
        folder: Folder that it runs in.
        variables: All of its environment variables.
        stdout: File that receives its output.
        stderr: File that receives its error messages.
        limit_secs: Seconds after which it is killed.
        stdin: File that it reads from.
        file_bytes: Size of a file that it may write, its output included; a signal ends it there.
    """

    words: Sequence[str]
    folder: Path
    variables: Mapping[str, str]
    stdout: Path
    stderr: Path
    limit_secs: float
    stdin: Path = Path(os.devnull)
    file_bytes: int = _FILE_BYTES


@dataclass(frozen=True)
class Ended:
    """The end of a command.

    Attributes:
        code: Exit code; -signal where a signal ended it.
        secs: Seconds on the wall clock, from before its start to its end.
        late: Whether it was killed at its limit.
    """

    code: int
    secs: float
    late: bool


class NotStartedError(Exception):
    """A command that could not be started, with the reason."""


class Guard:
    """A process that runs commands for this one; see `system.guard`.

    What a command has started is killed when the command ends, when its time is up, and when this
    process ends, also by kill -9. Children that moved to a session of their own are killed, too.

    May be used from one thread at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: Command) -> Ended:
        """Run a command, and return when it has ended.

        Raises:
            NotStartedError: There is no such program, or it is not executable.
        """
        asked = {
            "words": list(command.words),
            "folder": str(command.folder),
            "variables": dict(command.variables),
            "limit_secs": command.limit_secs,
            "file_bytes": command.file_bytes,
            **{name: str(getattr(command, name)) for name in ("stdin", "stdout", "stderr")},
        }
        process = self._running()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:  # it was killed, as when memory ran out; the next command gets another one
            self.close()
            raise NotStartedError("the process that runs the commands was killed; free memory")
        answer = json.loads(line)
        if "error" in answer:
            raise NotStartedError(answer["error"])
        return Ended(**answer)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._end = weakref.finalize(self, _end, self._process)
        return self._process

    def close(self) -> None:
        """End the process, and with it the command that it runs; the next command starts another.

        A second call has no effect.
        """
        if self._process is not None:
            self._end()
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # what could not be sent to a dead process
                stream.close()
    process.wait()
