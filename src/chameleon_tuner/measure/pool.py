"""A pool of worker processes that may die at any moment without taking anybody along."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, TypeVar

import psutil

from chameleon_tuner.measure.nursery import Nursery, _names_memory
from chameleon_tuner.measure.outcome import Status

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """A call of a method of the worker's handler, to be answered within `timeout_secs`."""

    method: str
    arguments: tuple[Any, ...]
    timeout_secs: float


class Failed(Exception):  # noqa: N818 - the failure of a candidate, not of the program
    """A request that was not answered: how it ended, and why.

    Attributes:
        status: the outcome's status.
        fatal: whether the worker died of it, and with it everything it held.
    """

    def __init__(self, status: Status, message: str, fatal: bool) -> None:
        super().__init__(message)
        self.status, self.fatal = status, fatal


Script = Generator[Request, Any, T]
"""Requests to one worker, each answered by a value sent in or a `Failed` thrown in."""


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
        tasks: keys of the tasks it was told about.
    """

    def __init__(self, nursery: Nursery, limits: Limits) -> None:
        self._nursery = nursery
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self.pid, self.connection = nursery.spawn(self._log.fileno(), limits.memory_bytes)
        self.tasks: set[str] = set()
        self.deadline = float("inf")

    def send(self, request: Request) -> None:
        """Send a request; its answer is awaited by `receive`. A dead worker is noticed there."""
        self.deadline = time.monotonic() + request.timeout_secs
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            self.connection.send((request.method, request.arguments))

    def receive(self, stage: str) -> Any:
        """The answer of a worker whose connection is readable or whose deadline has passed.

        Raises:
            Failed: the request failed, was not answered in time, or the worker died.
        """
        if not self.connection.poll() and time.monotonic() >= self.deadline:
            self.close()
            raise Failed(Status.TIMEOUT, f"{stage} took longer than its limit", fatal=True)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise self._died(stage) from None
        if kind == "done":
            return value
        if kind == "out_of_memory":
            raise Failed(Status.OUT_OF_MEMORY, value, fatal=False)
        failed = Status.RUN_ERROR if stage == "run" else Status.BUILD_ERROR
        raise Failed(failed, value, fatal=False)

    def _died(self, stage: str) -> Failed:
        code = self.close()
        last = self.log_tail()
        if code == -signal.SIGKILL or _names_memory(last):
            return Failed(Status.OUT_OF_MEMORY, f"killed during {stage}: {last}", fatal=True)
        name = signal.Signals(-code).name if code < 0 else f"exit {code}"
        return Failed(Status.CRASHED, f"{name} during {stage}: {last}".strip(": "), fatal=True)

    def log_tail(self, size: int = 400) -> str:
        """The end of what the worker printed."""
        if self._log.closed:
            return ""
        end = self._log.seek(0, 2)
        self._log.seek(max(0, end - size))
        return self._log.read().decode(errors="replace").strip()

    def resident_bytes(self) -> int:
        """Its resident size."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def close(self) -> int:
        """End it; its exit status, -signal where a signal ended it."""
        self.connection.close()
        return self._nursery.reap(self.pid)


class WorkerPool:
    """Keeps `size` workers alive and drives scripts on them.

    Args:
        handler: see `Nursery`.
        size: how many workers.
        environment: environment variables of the workers.
        limits: what each may use.
    """

    def __init__(
        self,
        handler: str,
        size: int,
        environment: Mapping[str, str],
        limits: Limits | None = None,
    ) -> None:
        self._nursery = Nursery(handler, environment)
        self._limits = limits or Limits()
        self._size = size
        self.workers: list[Worker] = []

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._nursery.close()
        for worker in self.workers:
            worker.connection.close()
        self.workers.clear()

    def replenish(self) -> None:
        """Replace the workers that died or grew too large."""
        alive = []
        for worker in self.workers:
            if worker.connection.closed:
                continue
            if worker.resident_bytes() > self._limits.recycle_bytes:
                worker.close()
            else:
                alive.append(worker)
        self.workers = alive
        while len(self.workers) < self._size:
            self.workers.append(Worker(self._nursery, self._limits))

    def call(self, worker: Worker, request: Request) -> Any:
        """One request, awaited.

        Raises:
            Failed: see `Worker.receive`.
        """
        worker.send(request)
        connection.wait([worker.connection], timeout=request.timeout_secs)
        return worker.receive(request.method)

    def drive(self, scripts: Iterable[Callable[[Worker], Script[T]]]) -> list[T]:
        """Run scripts on all workers at once, each script on one worker; results in order.

        A worker that dies is replaced, and the next script starts on the new one.
        """
        waiting = deque(enumerate(scripts))
        results: dict[int, T] = {}
        running: dict[Worker, tuple[int, Script[T], Request]] = {}
        while waiting or running:
            self._start(waiting, running, results)
            for worker in self._ready(list(running)):
                number, script, request = running.pop(worker)
                self._advance(worker, number, script, request, running, results)
        return [results[number] for number in sorted(results)]

    def _start(
        self,
        waiting: deque[tuple[int, Callable[[Worker], Script[T]]]],
        running: dict[Worker, tuple[int, Script[T], Request]],
        results: dict[int, T],
    ) -> None:
        if any(worker.connection.closed for worker in self.workers) or not self.workers:
            self.workers = [w for w in self.workers if not w.connection.closed]
            while len(self.workers) < self._size:
                self.workers.append(Worker(self._nursery, self._limits))
        for worker in self.workers:
            while waiting and worker not in running:
                number, begin = waiting.popleft()
                script = begin(worker)
                try:
                    request = next(script)
                except StopIteration as stop:
                    results[number] = stop.value
                    continue
                worker.send(request)
                running[worker] = number, script, request

    @staticmethod
    def _ready(workers: list[Worker]) -> list[Worker]:
        now = time.monotonic()
        soonest = min((worker.deadline for worker in workers), default=now)
        by_connection = {worker.connection: worker for worker in workers}
        timeout = max(0.0, soonest - now)
        readable = connection.wait(list(by_connection), timeout=timeout) if workers else []
        now = time.monotonic()
        return [w for c, w in by_connection.items() if c in readable or w.deadline <= now]

    @staticmethod
    def _advance(
        worker: Worker,
        number: int,
        script: Script[T],
        request: Request,
        running: dict[Worker, tuple[int, Script[T], Request]],
        results: dict[int, T],
    ) -> None:
        """Hand a worker's answer to its script and send the script's next request."""
        try:
            try:
                answer = worker.receive(request.method)
            except Failed as failure:
                following = script.throw(failure)
            else:
                following = script.send(answer)
        except StopIteration as stop:
            results[number] = stop.value
        else:
            worker.send(following)
            running[worker] = number, script, following
