"""One worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psutil

from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.nursery import ERROR, Nursery, names_memory
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.machine import memory_bytes

H = TypeVar("H", covariant=True)

_LAST_WORDS = 400
"""Bytes of a dead worker's output that its failure quotes."""

_USUAL_BYTES = 4 * 2**30
"""Default of `WorkerLimits.memory_bytes` where a worker's share of the machine is smaller, unless
that is more than half of the machine. A worker with TVM loaded has 0.4 GiB of data; large
candidates, their inputs and copies of their weights take up to 3 GiB."""

_STACK_BYTES = 8 * 2**20
"""Size of a thread's stack where the system sets no limit. Stacks count as data of a process."""

_RECYCLE_BYTES, _LEAST_RECYCLE_BYTES = 900 * 2**20, 450 * 2**20
"""Upper and lower bound of the default of `WorkerLimits.recycle_bytes`. TVM never frees all of a
module (measured: 0.2 MiB a module), and a fresh worker has about 200 MiB."""


@dataclass(frozen=True)
class WorkerLimits:
    """What a worker may use.

    Attributes:
        memory_bytes: Largest size of its own data; an allocation beyond it fails.
        recycle_bytes: Resident size from which on it is replaced between two batches.
    """

    memory_bytes: int
    recycle_bytes: int = _RECYCLE_BYTES

    @staticmethod
    def of_machine(workers: int) -> WorkerLimits:
        """Return the default limits of so many workers: an equal share of the machine's memory.

        One share is left for the main process and for everything else on the machine.
        """
        machine = memory_bytes()
        share = machine // (workers + 1)
        usual = max(share, min(_USUAL_BYTES, machine // 2))
        recycle = max(_LEAST_RECYCLE_BYTES, min(_RECYCLE_BYTES, share // 2))
        # The thread pools of TVM and onnxruntime have a thread a worker each.
        return WorkerLimits(usual + 2 * workers * _stack_bytes(), recycle)

    @staticmethod
    def of_one() -> WorkerLimits:
        """Return the limits of a worker that has the machine to itself: all of its memory."""
        return WorkerLimits(memory_bytes(), memory_bytes())


def _stack_bytes() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return _STACK_BYTES if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True)
class Call(Generic[H]):
    """A request that has to be answered within a number of seconds."""

    request: Request[H, Any]
    timeout_secs: float


class Worker(Generic[H]):
    """One worker process, which answers one request at a time.

    Attributes:
        pid: Its process id.
        connection: Readable when the worker has answered or died; closed once it was ended.
        tasks: Keys of the tasks that it has learned.
        deadline: When the pending request has to be answered, on the monotonic clock.
    """

    def __init__(self, nursery: Nursery, limits: WorkerLimits) -> None:
        self._nursery, self._limits = nursery, limits
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        try:
            self.pid, self.connection = nursery.spawn(self._log.fileno(), limits.memory_bytes)
        except BaseException:
            self._log.close()
            raise
        self.tasks: set[str] = set()
        self.deadline = math.inf
        self._pending: Call[H] | None = None
        self._heard = 0

    def send(self, call: Call[H]) -> None:
        """Send a request; `receive` returns its answer. A dead worker is noticed there."""
        self._pending = call
        self.deadline = time.monotonic() + call.timeout_secs
        with contextlib.suppress(ConnectionError):
            self.connection.send(call.request)

    def receive(self) -> Any:
        """Return the answer of a worker that is readable or whose deadline has passed.

        `WorkerPool.call` and `pool.ask` give the answer its type.

        Raises:
            Failed: The request failed, was not answered in time, or the worker died.
            MeasurementError: The nursery is gone.
        """
        assert self._pending is not None  # noqa: S101 - nothing was sent
        request, timeout_secs = self._pending.request, self._pending.timeout_secs
        if not self.connection.poll() and time.monotonic() >= self.deadline:
            self.close()
            limit = f"its limit of {timeout_secs:g} s"
            raise Failed(Status.TIMEOUT, f"{request.stage} took longer than {limit}", fatal=True)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise self._died(request.stage) from None
        self._pending, self.deadline = None, math.inf
        self._heard = self._log_size()
        if kind == "done":
            return value
        status = request.failure if kind == ERROR else Status(kind)
        raise Failed(status, value, fatal=False)

    def _died(self, stage: str) -> Failed:
        said = self._last_words()
        code = self.close()
        how = signal.Signals(-code).name if code < 0 else f"exit {code}"
        scarce = code == -signal.SIGKILL or names_memory(said)
        status = Status.OUT_OF_MEMORY if scarce else Status.CRASHED
        return Failed(status, f"{how} during {stage}: {said}".strip(": "), fatal=True)

    def _last_words(self) -> str:
        """Return the end of what it has printed since its last answer."""
        begin = max(self._heard, self._log_size() - _LAST_WORDS)
        # Not read(): the worker writes at the position that the file has here.
        said = os.pread(self._log.fileno(), _LAST_WORDS, begin)
        return said.decode(errors="replace").strip()

    def _log_size(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    @property
    def closed(self) -> bool:
        """Whether it was ended."""
        return self.connection.closed

    def fit(self) -> bool:
        """Return whether it lives, is idle, and has not grown too large."""
        if self.closed or self._pending is not None or self.connection.poll():
            return False  # an idle worker has nothing to say but that it died
        with contextlib.suppress(psutil.Error):
            resident: int = psutil.Process(self.pid).memory_info().rss
            return resident <= self._limits.recycle_bytes
        return False

    def close(self) -> int:
        """End the process and return its exit status.

        Returns:
            -signal where a signal ended it, 0 where it was closed before.

        Raises:
            MeasurementError: The nursery is gone.
        """
        if self.closed:
            return 0  # its process id may be somebody else's by now
        self.connection.close()
        self._log.close()
        return self._nursery.reap(self.pid)
