"""How long the requests about a task may take, and the request that tells a worker about it."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from chameleon_tuner.measure.local.pool import Script
from chameleon_tuner.measure.local.worker import Call, Worker
from chameleon_tuner.ports.handler import HasTasks, LoadTask
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task

HandlerT = TypeVar("HandlerT", bound=HasTasks)

TIMES, LEAST_SECS = 8.0, 2.0
"""Compiling a candidate may take this multiple of the task's median build, and at least these
seconds. None of 240 recorded searches would have lost its fastest candidate by it
(`benchmarks/builds.py`)."""

LEAST_ELSEWHERE_SECS = 4.0
"""The least limit where only builds of other tasks are known: merged convolutions take five times
as long as dense layers, and the fastest candidate of one took 2.3 s."""

_FEW, _RECENT = 8, 64
"""A median is taken of at least 8 builds and of the last 64: a machine may become slower."""


@dataclass(frozen=True)
class Timeouts:
    """Longest duration of each step of a candidate, in seconds.

    Attributes:
        load: Loading a task into a worker (making its design space takes 0.01 to 0.2 s).
        replay: Scheduling a candidate from its configuration (median 12 ms).
        compile: Compiling and loading (0.1 to 0.3 s, the tail reaches many seconds); an upper
            bound of `CompileLimit`.
        compile_times: Compiling a candidate may take this multiple of the task's median build;
            infinite where nothing but `compile` limits it.
        run: All runs of a candidate, drawing its inputs included.
        judge: Each step of a final: building its kernels, timing them, comparing their outputs.
            A neutral timing has this long and, on top of it, what its candidates may take to be
            built and run.
    """

    load: float = 60.0
    replay: float = 10.0
    compile: float = 10.0
    compile_times: float = TIMES
    run: float = 10.0
    judge: float = 300.0


class CompileLimit:
    """The longest time that compiling a candidate may take: a multiple of the usual time.

    A candidate that takes longer is hardly ever fast, and takes as long again in the final
    comparison and in the library: a dense kernel with vectors of 50 numbers took 6 s each time,
    where others took 0.2 s.

    Args:
        most: Upper bound of the limit in seconds.
        times: Multiple of the usual time.
    """

    def __init__(self, most: float, times: float = TIMES) -> None:
        self._most, self._times = most, times
        self._all: deque[float] = deque(maxlen=_RECENT)
        self._of: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=_RECENT))

    def observe(self, task: Task, build_secs: float) -> None:
        """Record how long building a candidate took, or how long it was waited for in vain."""
        self._all.append(build_secs)
        self._of[task.key].append(build_secs)

    def secs(self, task: Task) -> float:
        """Return the limit for the next candidate of a task, in seconds."""
        for builds, least in ((self._of[task.key], LEAST_SECS), (self._all, LEAST_ELSEWHERE_SECS)):
            if len(builds) >= _FEW:
                return min(self._most, max(least, self._times * statistics.median(builds)))
        return self._most


def loading(task: Task, worker: Worker[HandlerT], timeouts: Timeouts) -> Script[HandlerT, None]:
    """Load a task into a worker that has not learned it yet.

    Args:
        task: The task.
        worker: The worker.
        timeouts: Limit of the request.

    Returns:
        A script of one request or none.
    """
    if task.key not in worker.tasks:
        request = LoadTask(task.key, task.module, dict(task.target), to_plain(task.space))
        yield Call[HandlerT](request, timeouts.load)
        worker.tasks.add(task.key)
