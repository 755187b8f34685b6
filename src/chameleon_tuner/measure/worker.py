"""One worker process, as its parent sees it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import psutil

from chameleon_tuner.measure.nursery import Nursery, names_memory
from chameleon_tuner.measure.outcome import Failed, Status

_LAST_WORDS = 400
"""Bytes of a dead worker's output that its failure quotes."""


@dataclass(frozen=True)
class Request:
    """A call of a method of the worker's handler, to be answered within `timeout_secs`."""

    method: str
    arguments: tuple[Any, ...]
    timeout_secs: float


@dataclass(frozen=True)
class Limits:
    """What a worker may use.

    Attributes:
        memory_bytes: of its own data; an allocation beyond it fails.
        recycle_bytes: resident size at which it is replaced between two batches; TVM never
            frees all of a module (measured: 0.2 MiB a module).
    """

    memory_bytes: int = 6 * 2**30
    recycle_bytes: int = 900 * 2**20


class Worker:
    """One worker process: a request at a time.

    Attributes:
        pid: its process id.
        connection: readable when it has answered or died; closed once it was ended.
        tasks: keys of the tasks it was told about.
        deadline: when the request it works on has to be answered, on the monotonic clock.
    """

    def __init__(self, nursery: Nursery, limits: Limits) -> None:
        self._nursery, self._limits = nursery, limits
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        try:
            self.pid, self.connection = nursery.spawn(self._log.fileno(), limits.memory_bytes)
        except BaseException:
            self._log.close()
            raise
        self.tasks: set[str] = set()
        self.deadline = math.inf
        self._request: Request | None = None
        self._heard = 0

    def send(self, request: Request) -> None:
        """Send a request; its answer is awaited by `receive`. A dead worker is noticed there."""
        self._request = request
        self.deadline = time.monotonic() + request.timeout_secs
        with contextlib.suppress(ConnectionError):
            self.connection.send((request.method, request.arguments))

    def receive(self) -> Any:
        """The answer of a worker whose connection is readable or whose deadline has passed.

        Raises:
            Failed: the request failed, was not answered in time, or the worker died.
            MeasurementError: the nursery is gone.
        """
        assert self._request is not None  # noqa: S101 - nothing was sent
        stage = self._request.method
        if not self.connection.poll() and time.monotonic() >= self.deadline:
            self.close()
            limit = f"its limit of {self._request.timeout_secs:g} s"
            raise Failed(Status.TIMEOUT, f"{stage} took longer than {limit}", fatal=True)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise self._died(stage) from None
        self._request, self.deadline = None, math.inf
        self._heard = self._log_size()
        if kind == "done":
            return value
        raise Failed(_status(kind, stage), value, fatal=False)

    def _died(self, stage: str) -> Failed:
        said = self._last_words()
        code = self.close()
        how = signal.Signals(-code).name if code < 0 else f"exit {code}"
        scarce = code == -signal.SIGKILL or names_memory(said)
        status = Status.OUT_OF_MEMORY if scarce else Status.CRASHED
        return Failed(status, f"{how} during {stage}: {said}".strip(": "), fatal=True)

    def _last_words(self) -> str:
        """The end of what it printed since its last answer."""
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
        """Whether it lives, waits for a request, and has not grown too large."""
        if self.closed or self._request is not None or self.connection.poll():
            return False  # an idle worker has nothing to say but that it died
        with contextlib.suppress(psutil.Error):
            resident: int = psutil.Process(self.pid).memory_info().rss
            return resident <= self._limits.recycle_bytes
        return False

    def close(self) -> int:
        """End it; its exit status, -signal where a signal ended it, 0 where it was closed before.

        Raises:
            MeasurementError: the nursery is gone.
        """
        if self.closed:
            return 0  # its process id may be somebody else's by now
        self.connection.close()
        self._log.close()
        return self._nursery.reap(self.pid)


def _status(kind: str, stage: str) -> Status:
    """The status of a request to `stage` that was answered by a message of this kind."""
    if kind == "error":
        return Status.RUN_ERROR if stage == "run" else Status.BUILD_ERROR
    return Status(kind)
