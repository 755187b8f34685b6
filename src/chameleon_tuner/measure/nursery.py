"""A process that has the handler's module loaded and forks workers from it.

Loading TVM takes seconds, a fork of a process that has it 20 ms, so a crashed worker costs next
to nothing. `multiprocessing`'s forkserver would do nearly the same, but it runs the user's main
script again in every child, and its children outlive a parent that was killed.

Nobody outlives anybody: the nursery ends within half a second of its parent, and the kernel kills
a worker when the nursery ends (Linux; elsewhere they end when their connection closes).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from chameleon_tuner.errors import MeasurementError
from chameleon_tuner.measure.outcome import RejectedError, Status

_PR_SET_PDEATHSIG = 1
_SPAWN, _REAP = 0, 1

_QUESTION = struct.Struct("<QBQ")
"""Number, what is asked for, and the bytes a worker may allocate or the process id to reap."""

_ANSWER = struct.Struct("<Qq")
"""The question's number, and a process id or an exit status."""

# A parent that was killed is noticed by the end of its connection, or, where a process that the
# parent forked still holds that, by its process id. (A death signal would come too early: it is
# sent when the *thread* that started the nursery ends.)
_WATCH_SECS = 0.5


class Nursery:
    """The parent's side: starts the nursery process and asks it for workers.

    The process starts at once and loads the handler meanwhile; the first `spawn` waits for it.
    May be used from one thread at a time.

    Args:
        handler: `module:attribute` of a callable without arguments that gives a worker its
            handler; the methods of the handler answer the requests of `serve`.
        environment: variables for the nursery and its workers, on top of this process's.
    """

    def __init__(self, handler: str, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        self._asked = 0
        with theirs:
            # Not `-m`: that warns when the package itself has imported this module.
            main = f"from {__name__} import main; main()"
            arguments = [str(theirs.fileno()), str(os.getpid()), handler]
            self._process = subprocess.Popen(
                [sys.executable, "-c", main, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def spawn(self, log_fd: int, memory_bytes: int) -> tuple[int, Connection]:
        """Fork a worker: its process id and a connection to it.

        Args:
            log_fd: a file that receives what the worker prints.
            memory_bytes: how much it may allocate.

        Raises:
            MeasurementError: the nursery is gone.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                pid = self._ask(_SPAWN, memory_bytes, [theirs.fileno(), log_fd])
            return pid, Connection(ours.detach())

    def reap(self, pid: int) -> int:
        """Kill a worker if it still lives; its exit status as `subprocess` gives it (-signal).

        Raises:
            MeasurementError: the nursery is gone.
        """
        return self._ask(_REAP, pid, [])

    def _ask(self, what: int, value: int, fds: list[int]) -> int:
        self._asked += 1
        try:
            socket.send_fds(self._control, [_QUESTION.pack(self._asked, what, value)], fds)
            return self._answer()
        except ConnectionError:
            raise MeasurementError(self._obituary()) from None

    def _answer(self) -> int:
        """The answer to the last question, not to an earlier one that Ctrl-C interrupted."""
        number = 0
        while number != self._asked:
            answer = self._control.recv(_ANSWER.size, socket.MSG_WAITALL)
            if len(answer) < _ANSWER.size:
                raise ConnectionError
            number, value = _ANSWER.unpack(answer)
        return int(value)

    def _obituary(self) -> str:
        self._process.kill()
        status = self._process.wait()
        how = signal.Signals(-status).name if status < 0 else f"exit {status}"
        return (
            f"the process that starts the workers has died ({how}); what was measured before is "
            "kept: see the messages above, free memory if it was killed, and run again"
        )

    def close(self) -> None:
        """End the nursery, and with it every worker."""
        self._control.close()
        self._process.kill()
        self._process.wait()


# -- in the nursery


def main() -> None:
    """The nursery process; arguments: file descriptor, parent's process id, handler."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    control_fd, parent, handler = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    module, _, attribute = handler.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    with socket.socket(fileno=control_fd) as control, contextlib.suppress(ConnectionError):
        while os.getppid() == parent:
            if select.select([control], [], [], _WATCH_SECS)[0]:
                _answer_one(control, make)


def _answer_one(control: socket.socket, make: Callable[[], object]) -> None:
    question, fds, _, _ = socket.recv_fds(control, _QUESTION.size, 2)
    if not question:
        raise ConnectionError
    number, what, value = _QUESTION.unpack(question)
    answer = _reap(value) if what == _REAP else _spawn(control, fds, value, make)
    control.sendall(_ANSWER.pack(number, answer))


def _reap(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _spawn(
    control: socket.socket, fds: list[int], memory_bytes: int, make: Callable[[], object]
) -> int:
    nursery = os.getpid()
    pid = os.fork()
    if pid == 0:
        status, connection = 1, Connection(fds[0])  # open to the end: closed, it is as good as dead
        try:
            control.close()
            _become_worker(nursery, fds[1], memory_bytes)
            serve(connection, make())
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)  # never back into the nursery's own stack
    for fd in fds:
        os.close(fd)
    return pid


# -- in a worker


def _become_worker(nursery: int, log_fd: int, memory_bytes: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:  # it died before the call above
        os._exit(1)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # where the machine runs out of memory: this one first
        Path("/proc/self/oom_score_adj").write_text("1000")


def serve(connection: Connection, handler: object) -> None:
    """Answer requests `(method, arguments)` with `(kind, value)` until the connection closes.

    Kinds: "done" with the method's result; the status of a failure, or "error" where that follows
    from the method, with a message.
    """
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            method, arguments = connection.recv()
            connection.send(_answered(handler, method, arguments))


def _answered(handler: object, method: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "done", getattr(handler, method)(*arguments)
    except RejectedError as refusal:
        return Status.REJECTED.value, str(refusal)
    except (Exception, SystemExit) as error:
        # Whatever a candidate raises is the candidate's failure, never the worker's.
        message = f"{type(error).__name__}: {error}"
        scarce = isinstance(error, MemoryError) or names_memory(message)
        return (Status.OUT_OF_MEMORY.value if scarce else "error"), message


def names_memory(message: str) -> bool:
    """Whether a message is about memory that could not be had."""
    lowered = message.lower()
    words = ("out of memory", "bad_alloc", "cannot allocate", "memoryerror")
    return any(word in lowered for word in words)
