"""A small process that runs commands of others, one at a time, and lets none of them outlive it.

`system.commands.Guard` starts this file as a script and writes a line of JSON per command to its
standard input; a line of JSON on its standard output answers it. When standard input closes,
because the process that asked has ended in whatever way, everything that was started is killed.

The file imports nothing but the standard library, so that it is small: a command starts by a fork
of this process, and the seconds of that are part of what a wall clock sees of the command.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

_PR_SET_CHILD_SUBREAPER = 36
_SWEEP_SECS = 0.01
"""Pause between two looks for processes that a command has left behind, in seconds."""


class ParentGoneError(Exception):
    """The process that asks for commands has ended."""


def main() -> None:
    """Answer commands until standard input closes."""
    # Orphans of a command become children of this process, also those in sessions of their own.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, _nothing)  # not ignored: a command would inherit that
    signal.signal(signal.SIGCHLD, _nothing)
    awake, wake = os.pipe()
    os.set_blocking(awake, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    asked, answers = sys.stdin.buffer, sys.stdout
    while line := asked.readline():
        try:
            answer = _run(json.loads(line), awake)
        except ParentGoneError:
            return
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _nothing(*_: object) -> None:
    """Do nothing; that there is a handler wakes the loop up."""


def _run(command: dict[str, Any], awake: int) -> dict[str, Any]:
    """Run a command and return how it ended."""
    with contextlib.ExitStack() as files:
        try:
            streams = _opened(command, files)
            _limit_files(command["file_bytes"])
            begin = time.perf_counter()
            process = subprocess.Popen(
                command["words"],
                stdin=streams["stdin"],
                stdout=streams["stdout"],
                stderr=streams["stderr"],
                cwd=command["folder"],
                env=command["variables"],
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return {"error": f"{command['words'][0]}: {_told(error)}"}
        try:
            code, late = _waited(process.pid, begin + command["limit_secs"], awake)
            secs = time.perf_counter() - begin
        finally:
            _sweep(process.pid)
        process.returncode = code  # it was waited for here, and not by its object
    return {"code": code, "secs": secs, "late": late}


def _opened(command: dict[str, Any], files: contextlib.ExitStack) -> dict[str, IO[bytes]]:
    modes = {"stdin": "rb", "stdout": "wb", "stderr": "wb"}
    return {
        name: files.enter_context(Path(command[name]).open(mode)) for name, mode in modes.items()
    }


def _limit_files(most_bytes: int) -> None:
    """Limit the size of files that the next command writes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    soft = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _told(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}"
    return str(error)


def _waited(pid: int, deadline: float, awake: int) -> tuple[int, bool]:
    """Wait for a process; kill it at the deadline.

    Returns:
        The exit code, -signal where a signal ended it, and whether the deadline has passed.

    Raises:
        ParentGoneError: Nobody waits for the answer.
    """
    late = False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), late
        left = 1.0 if late else deadline - time.perf_counter()
        if left <= 0:
            late = True
            _kill_group(pid)
            continue
        ready, _, _ = select.select([awake, sys.stdin], [], [], left)
        if sys.stdin in ready:  # nothing is asked before the answer, so this is the end
            raise ParentGoneError
        with contextlib.suppress(BlockingIOError):
            os.read(awake, 4096)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _sweep(pid: int) -> None:
    """Kill everything that a command has started and left behind, and wait for its end."""
    _kill_group(pid)
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended:
            continue
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        time.sleep(_SWEEP_SECS)


def _children() -> list[int]:
    """Return the process ids of all children of this process."""
    mine, found = os.getpid(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == mine:
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        main()
