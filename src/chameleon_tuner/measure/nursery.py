"""A process that has the handler's module loaded and forks workers from it.

Loading TVM takes seconds, a fork of a process that has it 20 ms, so a crashed worker costs next
to nothing. `multiprocessing`'s forkserver would do nearly the same, but it runs the user's main
script again in every child, and its children outlive a parent that was killed.

Nobody outlives anybody: the nursery is killed by the kernel when its parent dies, a worker when
the nursery does (Linux; elsewhere they end when their connection closes).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

_PR_SET_PDEATHSIG = 1
_SPAWN, _REAP = b"S", b"R"


class Nursery:
    """The parent's side: starts the nursery process and asks it for workers.

    The process starts at once and loads the handler meanwhile; the first `spawn` waits for it.
    Not thread-safe.

    Args:
        handler: `module:attribute` of a callable without arguments that gives a worker its
            handler; the methods of the handler answer the requests of `serve`.
        environment: variables for the nursery and its workers, on top of this process's.
    """

    def __init__(self, handler: str, environment: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), handler],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )

    def spawn(self, log_fd: int, memory_bytes: int) -> tuple[int, Connection]:
        """Fork a worker: its process id and a connection to it.

        Args:
            log_fd: a file that receives what the worker prints.
            memory_bytes: how much it may allocate.

        Raises:
            ConnectionError: the nursery is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            message = _SPAWN + memory_bytes.to_bytes(8, "little")
            socket.send_fds(self._control, [message], [theirs.fileno(), log_fd])
        try:
            pid = self._answer()
        except ConnectionError:
            ours.close()
            raise
        return pid, Connection(ours.detach())

    def reap(self, pid: int) -> int:
        """Kill a worker if it still lives; its exit status as `subprocess` gives it (-signal)."""
        self._control.sendall(_REAP + pid.to_bytes(8, "little"))
        return self._answer()

    def _answer(self) -> int:
        answer = self._control.recv(8)
        if len(answer) < 8:
            raise ConnectionError("the process that starts the workers has died")
        return int.from_bytes(answer, "little", signed=True)

    def close(self) -> None:
        """End the nursery, and with it every worker."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()


def serve(connection: Connection, handler: object) -> None:
    """Answer requests `(method, arguments)` with `(kind, value)` until the connection closes.

    Kinds: "done" with the method's result, "out_of_memory" and "error" with a message.
    """
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        connection.send(_answered(getattr(handler, method), arguments))


def _answered(method: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "done", method(*arguments)
    except MemoryError as error:
        return "out_of_memory", str(error) or "out of memory"
    except Exception as error:
        # Whatever a candidate raises is the candidate's failure, never the worker's.
        message = f"{type(error).__name__}: {error}"
        return ("out_of_memory" if _names_memory(message) else "error"), message


def _names_memory(message: str) -> bool:
    lowered = message.lower()
    return any(word in lowered for word in ("out of memory", "bad_alloc", "cannot allocate"))


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _become_worker(
    fds: list[int], memory_bytes: int, parent: int, make: Callable[[], object]
) -> None:
    _die_with_parent(parent)
    connection_fd, log_fd = fds
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.close(log_fd)
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        serve(Connection(connection_fd), make())
    os._exit(0)


def _reap(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0


def _run(control: socket.socket, handler: str) -> None:
    module, _, attribute = handler.partition(":")
    make = getattr(importlib.import_module(module), attribute)
    while True:
        message, fds, _, _ = socket.recv_fds(control, 9, 2)
        if not message:
            return
        value = int.from_bytes(message[1:], "little")
        if message[:1] == _REAP:
            answer = _reap(value)
        else:
            parent = os.getpid()
            answer = os.fork()
            if answer == 0:
                control.close()
                _become_worker(fds, value, parent, make)
            for fd in fds:
                os.close(fd)
        control.sendall(answer.to_bytes(8, "little", signed=True))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    _die_with_parent(os.getppid())
    _run(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
