"""The nursery: a process that has loaded the handler's module, and forks workers from itself.

Loading TVM takes seconds, but a fork of a process that has loaded it takes 20 ms, so a crashed
worker costs very little. The forkserver of `multiprocessing` is similar, but it runs the user's
main script again in every child, and its children outlive a parent that was killed.

No process outlives its parent: the nursery ends within half a second after its parent, and Linux
kills the workers when the nursery ends (on other systems they end when their connection closes).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed, RejectedError, Request

_PR_SET_PDEATHSIG = 1
_SPAWN, _REAP = 0, 1

_QUESTION = struct.Struct("<QBQ")
"""Layout of a question: its number, its kind (`_SPAWN` or `_REAP`), and a value.

The value is the number of bytes that the new worker may allocate, or the process id to reap."""

_ANSWER = struct.Struct("<Qq")
"""Layout of an answer: the question's number, and the new worker's process id or an exit status."""

# Seconds between the nursery's checks that its parent still lives. Usually the connection closes
# when the parent is killed, but a process that the parent forked may hold it open. (The signal of
# PR_SET_PDEATHSIG would come too early: when the *thread* that started the nursery ends.)
_WATCH_SECS = 0.5

ERROR = "error"
"""Kind of a worker's answer to a request that raised an exception."""


class Nursery:
    """The parent's side of the nursery, which starts the process and asks it for workers.

    The process starts at once and loads the handler's module in the background; the first `spawn`
    waits until it is loaded. May be used from one thread at a time.

    Args:
        handler: Where each worker finds its handler.
        environment: Environment variables of the nursery and its workers, in addition to those of
            this process.
    """

    def __init__(self, handler: HandlerEntry[object], environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        self._asked = 0
        with theirs:
            # `-m` would print a warning, because the package itself has imported this module.
            main = f"from {__name__} import main; main()"
            arguments = [
                str(theirs.fileno()),
                str(os.getpid()),
                handler.module,
                handler.attribute,
            ]
            self._process = subprocess.Popen(
                [sys.executable, "-c", main, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )

    @property
    def pid(self) -> int:
        """The process id of the nursery."""
        return self._process.pid

    def spawn(self, log_fd: int, memory_bytes: int) -> tuple[int, Connection]:
        """Fork a worker, and return its process id and a connection to it.

        Args:
            log_fd: Descriptor of the file that receives the worker's output.
            memory_bytes: Number of bytes that the worker may allocate.

        Raises:
            MeasurementError: The nursery is gone.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                pid = self._ask(_SPAWN, memory_bytes, [theirs.fileno(), log_fd])
            return pid, Connection(ours.detach())

    def reap(self, pid: int) -> int:
        """Kill a worker if it still lives, and return its exit status.

        Returns:
            The exit status as in `subprocess`: -signal if a signal ended the worker.

        Raises:
            MeasurementError: The nursery is gone.
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
        """Return the answer to the last question; skip those to questions that Ctrl-C broke off."""
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
    """Run the nursery process.

    Its command line has the descriptor of its connection, the parent's process id, and the module
    and attribute of the handler.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    control_fd, parent = int(sys.argv[1]), int(sys.argv[2])
    handler = HandlerEntry[object](sys.argv[3], sys.argv[4])
    handler.factory()  # imports the module once, for all workers
    with socket.socket(fileno=control_fd) as control, contextlib.suppress(ConnectionError):
        while os.getppid() == parent:
            if select.select([control], [], [], _WATCH_SECS)[0]:
                _answer_one(control, handler)


def _answer_one(control: socket.socket, handler: HandlerEntry[object]) -> None:
    question, fds, _, _ = socket.recv_fds(control, _QUESTION.size, 2)
    if not question:
        raise ConnectionError
    number, what, value = _QUESTION.unpack(question)
    answer = _reap(value) if what == _REAP else _spawn(control, fds, value, handler)
    control.sendall(_ANSWER.pack(number, answer))


def _reap(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _spawn(
    control: socket.socket, fds: list[int], memory_bytes: int, handler: HandlerEntry[object]
) -> int:
    nursery = os.getpid()
    pid = os.fork()
    if pid == 0:
        status, connection = 1, Connection(fds[0])  # open until exit: closing means death
        try:
            control.close()
            _become_worker(nursery, fds[1], memory_bytes)
            serve(connection, handler.load())
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)  # does not return into the nursery's own stack
    for fd in fds:
        os.close(fd)
    return pid


# -- in a worker


def _become_worker(nursery: int, log_fd: int, memory_bytes: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:  # the nursery died before the call above
        os._exit(1)
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # if memory runs out, the system kills workers first
        Path("/proc/self/oom_score_adj").write_text("1000")


def serve(connection: Connection, handler: object) -> None:
    """Answer each `Request` with `(kind, value)` until the connection closes.

    The kind is "done" and the value is the answer; or the value is an error message, and the kind
    is the status of the failure, or `ERROR` if the request determines the status.

    Args:
        connection: The connection to the parent.
        handler: The handler.
    """
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send(_answered(handler, connection.recv()))


def _answered(handler: object, request: Request[object, object]) -> tuple[str, object]:
    try:
        return "done", request.answered_by(handler)
    except RejectedError as refusal:
        return Status.REJECTED.value, str(refusal)
    except Failed as failure:
        return failure.status.value, str(failure)
    except (Exception, SystemExit) as error:
        # An exception of a candidate is a failure of this candidate; it must not end the worker.
        message = f"{type(error).__name__}: {error}"
        scarce = isinstance(error, MemoryError) or names_memory(message)
        return (Status.OUT_OF_MEMORY.value if scarce else ERROR), message


def names_memory(message: str) -> bool:
    """Return whether a message says that an allocation of memory failed."""
    lowered = message.lower()
    words = ("out of memory", "bad_alloc", "cannot allocate", "memoryerror")
    return any(word in lowered for word in words)
