"""A pool of worker processes that may die at any moment without harm to the others."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.measure.local.nursery import Nursery
from chameleon_tuner.measure.local.worker import Call, Worker, WorkerLimits
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed, Request

H = TypeVar("H", covariant=True)
HandlerT = TypeVar("HandlerT")
R = TypeVar("R")
T = TypeVar("T")

Script = Generator[Call[HandlerT], Any, T]
"""Requests to one worker, each answered by a value sent in or a `Failed` thrown in; see `ask`.

After a fatal failure a script has to end without another request.
"""

Step = Callable[[], Call[HandlerT]]
"""Advances a script to its next request; raises StopIteration where it ends."""


def ask(request: Request[HandlerT, R], timeout_secs: float) -> Script[HandlerT, R]:
    """Send a request from within a script, and return the answer of the worker.

    Use it as `answer = yield from ask(request, timeout_secs)`.

    Raises:
        Failed: The request failed; see `Worker.receive`.
    """
    answer: R = yield Call(request, timeout_secs)
    return answer


class WorkerPool(Generic[H]):
    """Keeps a number of workers alive and drives scripts on them.

    May be used from one thread at a time. An exception that leaves it halfway, Ctrl-C included,
    does no harm: workers that are still busy then are replaced.

    Args:
        handler: Where the workers find their handler.
        size: Number of workers.
        environment: Environment variables of the workers.
        limits: What each worker may use; by default an equal share of the machine's memory.

    Attributes:
        size: Number of workers that are kept.
        workers: The workers that live; none of them is busy after `replenish`.
    """

    def __init__(
        self,
        handler: HandlerEntry[H],
        size: int,
        environment: Mapping[str, str],
        limits: WorkerLimits | None = None,
    ) -> None:
        self._nursery = Nursery(handler, environment)
        self._limits = limits or WorkerLimits.of_machine(size)
        self.size = size
        self.workers: list[Worker[H]] = []

    def __enter__(self) -> WorkerPool[H]:
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
            MeasurementError: The nursery is gone.
        """
        self._keep(Worker.fit)
        self._fill()

    @contextlib.contextmanager
    def lent(self, size: int, limits: WorkerLimits) -> Iterator[list[Worker[H]]]:
        """Replace all workers by new ones of another kind for as long as the context lasts.

        Nothing that was loaded or run before has an effect on the new ones, nor they on what comes
        after them.

        Args:
            size: Number of the new workers.
            limits: What each of them may use.

        Yields:
            The new workers. Those of before are made again when they are needed.

        Raises:
            MeasurementError: The nursery is gone.
        """
        before = self.size, self._limits
        self.size, self._limits = size, limits
        try:
            self._keep(lambda worker: False)
            self._fill()
            yield self.workers
        finally:
            self.size, self._limits = before
            self._keep(lambda worker: False)

    def _keep(self, wanted: Callable[[Worker[H]], bool]) -> None:
        workers, self.workers = self.workers, []
        for worker in workers:
            if wanted(worker):
                self.workers.append(worker)
            else:
                worker.close()

    def _fill(self) -> None:
        while len(self.workers) < self.size:
            self.workers.append(Worker(self._nursery, self._limits))

    def call(self, worker: Worker[H], request: Request[H, R], timeout_secs: float) -> R:
        """Send a request and wait for the answer.

        Args:
            worker: A worker of this pool that is not busy.
            request: What is asked.
            timeout_secs: The worker is killed if it has not answered by then.

        Returns:
            The answer.

        Raises:
            Failed: See `Worker.receive`.
            MeasurementError: The nursery is gone.
        """
        worker.send(Call(request, timeout_secs))
        connection.wait([worker.connection], timeout=timeout_secs)
        answer: R = worker.receive()
        return answer

    def drive(self, scripts: Iterable[Callable[[Worker[H]], Script[H, T]]]) -> list[T]:
        """Run scripts on all workers at once, each script on one worker, and return the results.

        A worker that dies is replaced, and the next script starts on the new one.

        Args:
            scripts: The scripts. The iterable is advanced when a worker is about to need the next
                one, so that the time it takes passes while workers are busy.

        Returns:
            The results in the order of the scripts.

        Raises:
            MeasurementError: The nursery is gone.
        """
        self.replenish()
        coming = enumerate(scripts)
        waiting: deque[tuple[int, Callable[[Worker[H]], Script[H, T]]]] = deque()
        running, more = _Running[H, T](), True
        while more or waiting or running.scripts:
            for worker in self._alive():
                while waiting and worker not in running.scripts:
                    number, begin = waiting.popleft()
                    running.begin(worker, number, begin(worker))
            if more and len(waiting) < self.size:
                taken = list(itertools.islice(coming, 1))
                waiting.extend(taken)
                more = bool(taken)
            running.wait(at_most_secs=0.0 if more and len(waiting) < self.size else math.inf)
        return running.in_order()

    def drive_each(self, scripts: Iterable[tuple[Worker[H], Script[H, T]]]) -> list[T]:
        """Run one script on each of some workers, all at once, and return the results in order.

        A worker that dies is replaced by the next `replenish`, not here: what its script left in
        it is gone anyway.

        Raises:
            MeasurementError: The nursery is gone.
        """
        running = _Running[H, T]()
        for number, (worker, script) in enumerate(scripts):
            running.begin(worker, number, script)
        while running.scripts:
            running.wait()
        return running.in_order()

    def _alive(self) -> list[Worker[H]]:
        if any(worker.closed for worker in self.workers):
            self._keep(lambda worker: not worker.closed)
            self._fill()
        return self.workers


class _Running(Generic[HandlerT, T]):
    """Scripts that wait for an answer, and the results of those that have ended.

    Attributes:
        scripts: The number and the script, by the worker that it runs on.
    """

    def __init__(self) -> None:
        self.scripts: dict[Worker[HandlerT], tuple[int, Script[HandlerT, T]]] = {}
        self._results: dict[int, T] = {}

    def begin(self, worker: Worker[HandlerT], number: int, script: Script[HandlerT, T]) -> None:
        """Advance a new script to its first request.

        Args:
            worker: The worker that it runs on.
            number: Position of its result.
            script: The script.
        """
        self._advance(worker, number, script, partial(next, script))

    def wait(self, at_most_secs: float = math.inf) -> None:
        """Wait until some have an answer or passed their deadline, and advance these."""
        for worker in _ready(list(self.scripts), at_most_secs):
            number, script = self.scripts.pop(worker)
            self._advance(worker, number, script, partial(_hand_over, worker, script))

    def in_order(self) -> list[T]:
        """Return the results of all scripts that have ended."""
        return [self._results[number] for number in sorted(self._results)]

    def _advance(
        self,
        worker: Worker[HandlerT],
        number: int,
        script: Script[HandlerT, T],
        step: Step[HandlerT],
    ) -> None:
        """Advance a script to its next request, or to its end."""
        try:
            call = step()
        except StopIteration as stop:
            self._results[number] = stop.value
        else:
            worker.send(call)
            self.scripts[worker] = number, script


def _hand_over(worker: Worker[HandlerT], script: Script[HandlerT, T]) -> Call[HandlerT]:
    """Give a worker's answer to its script and return the script's next request."""
    try:
        answer = worker.receive()
    except Failed as failure:
        return script.throw(failure)
    return script.send(answer)


def _ready(workers: list[Worker[HandlerT]], at_most_secs: float) -> list[Worker[HandlerT]]:
    """Wait until a worker has answered, died or passed its deadline; return all such workers."""
    if not workers:
        return []
    soonest = min(worker.deadline for worker in workers)
    timeout = min(at_most_secs, max(0.0, soonest - time.monotonic()))
    readable = set(connection.wait([worker.connection for worker in workers], timeout))
    now = time.monotonic()
    return [w for w in workers if w.connection in readable or w.deadline <= now]
