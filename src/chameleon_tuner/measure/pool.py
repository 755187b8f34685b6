"""A pool of worker processes that may die at any moment without taking anybody along."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from chameleon_tuner.errors import MeasurementError
from chameleon_tuner.measure.nursery import Nursery
from chameleon_tuner.measure.outcome import Failed
from chameleon_tuner.measure.worker import Limits, Request, Worker

__all__ = ["Failed", "Limits", "Request", "Script", "Worker", "WorkerPool"]

T = TypeVar("T")

Script = Generator[Request, Any, T]
"""Requests to one worker, each answered by a value sent in or a `Failed` thrown in.

After a fatal failure it has to end without another request.
"""

Step = Callable[[], Request]
"""Takes a script to its next request; raises StopIteration where it ends."""


class WorkerPool:
    """Keeps `size` workers alive and drives scripts on them.

    May be used from one thread at a time. An exception that leaves it halfway, Ctrl-C included,
    does no harm: workers that are still busy then are replaced.

    Args:
        handler: see `Nursery`.
        size: how many workers.
        environment: environment variables of the workers.
        limits: what each may use.

    Attributes:
        workers: those that live; fresh from the last `replenish`.
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

    @property
    def nursery_pid(self) -> int:
        """The process id of the nursery, the parent of all workers."""
        return self._nursery.pid

    def close(self) -> None:
        """End all workers, busy or not."""
        for worker in self.workers:
            with contextlib.suppress(MeasurementError):
                worker.close()
        self.workers.clear()
        self._nursery.close()

    def replenish(self) -> None:
        """Replace the workers that died, are stuck in a request, or grew too large.

        Raises:
            MeasurementError: the nursery is gone.
        """
        self._keep(Worker.fit)
        self._fill()

    def renew(self) -> None:
        """Replace all workers, for what must not suffer from what was loaded and run before.

        Raises:
            MeasurementError: the nursery is gone.
        """
        self._keep(lambda worker: False)
        self._fill()

    def _keep(self, wanted: Callable[[Worker], bool]) -> None:
        workers, self.workers = self.workers, []
        for worker in workers:
            if wanted(worker):
                self.workers.append(worker)
            else:
                worker.close()

    def _fill(self) -> None:
        while len(self.workers) < self._size:
            self.workers.append(Worker(self._nursery, self._limits))

    def call(self, worker: Worker, request: Request) -> Any:
        """One request, awaited.

        Raises:
            Failed: see `Worker.receive`.
            MeasurementError: the nursery is gone.
        """
        worker.send(request)
        connection.wait([worker.connection], timeout=request.timeout_secs)
        return worker.receive()

    def drive(self, scripts: Iterable[Callable[[Worker], Script[T]]]) -> list[T]:
        """Run scripts on all workers at once, each script on one worker; results in order.

        A worker that dies is replaced, and the next script starts on the new one.

        Args:
            scripts: are taken when a worker is about to need one: what takes time to make them
                passes while workers are busy.

        Raises:
            MeasurementError: the nursery is gone.
        """
        self.replenish()
        coming = enumerate(scripts)
        waiting: deque[tuple[int, Callable[[Worker], Script[T]]]] = deque()
        running, more = _Running[T](), True
        while more or waiting or running.scripts:
            for worker in self._alive():
                while waiting and worker not in running.scripts:
                    number, begin = waiting.popleft()
                    running.begin(worker, number, begin(worker))
            if more and len(waiting) < self._size:
                taken = list(itertools.islice(coming, 1))
                waiting.extend(taken)
                more = bool(taken)
            running.wait(at_most_secs=0.0 if more and len(waiting) < self._size else math.inf)
        return running.in_order()

    def drive_each(self, scripts: Iterable[tuple[Worker, Script[T]]]) -> list[T]:
        """Run a script on each of some workers, all at once; results in order.

        Each worker has one script. One that dies is replaced by the next `replenish`, not here:
        what its script left in it is gone anyway.

        Raises:
            MeasurementError: the nursery is gone.
        """
        running = _Running[T]()
        for number, (worker, script) in enumerate(scripts):
            running.begin(worker, number, script)
        while running.scripts:
            running.wait()
        return running.in_order()

    def _alive(self) -> list[Worker]:
        if any(worker.closed for worker in self.workers):
            self._keep(lambda worker: not worker.closed)
            self._fill()
        return self.workers


class _Running(Generic[T]):
    """Scripts that wait for an answer, and what those that have ended returned.

    Attributes:
        scripts: by the worker that each is on, with its number.
    """

    def __init__(self) -> None:
        self.scripts: dict[Worker, tuple[int, Script[T]]] = {}
        self._results: dict[int, T] = {}

    def begin(self, worker: Worker, number: int, script: Script[T]) -> None:
        """Take a new script to its first request."""
        self._advance(worker, number, script, partial(next, script))

    def wait(self, at_most_secs: float = math.inf) -> None:
        """Wait until some have answers, or may have none, and take them further."""
        for worker in _ready(list(self.scripts), at_most_secs):
            number, script = self.scripts.pop(worker)
            self._advance(worker, number, script, partial(_hand_over, worker, script))

    def in_order(self) -> list[T]:
        """Of all that have ended."""
        return [self._results[number] for number in sorted(self._results)]

    def _advance(self, worker: Worker, number: int, script: Script[T], step: Step) -> None:
        """Take a script to its next request, or to its end."""
        try:
            request = step()
        except StopIteration as stop:
            self._results[number] = stop.value
        else:
            worker.send(request)
            self.scripts[worker] = number, script


def _hand_over(worker: Worker, script: Script[T]) -> Request:
    """Give a worker's answer to its script; the script's next request."""
    try:
        answer = worker.receive()
    except Failed as failure:
        return script.throw(failure)
    return script.send(answer)


def _ready(workers: list[Worker], at_most_secs: float) -> list[Worker]:
    """Wait until a worker has answered, died or passed its deadline; all of which that holds."""
    if not workers:
        return []
    soonest = min(worker.deadline for worker in workers)
    timeout = min(at_most_secs, max(0.0, soonest - time.monotonic()))
    readable = set(connection.wait([worker.connection for worker in workers], timeout))
    now = time.monotonic()
    return [w for w in workers if w.connection in readable or w.deadline <= now]
