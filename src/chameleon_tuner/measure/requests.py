"""What all requests about tasks have in common: their limits, and that a worker knows the task."""

from __future__ import annotations

import statistics
from collections import defaultdict, deque
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from chameleon_tuner.measure.worker import Request, Worker
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.task import Task

TIMES, LEAST_SECS = 8.0, 2.0
"""The limit of compiling, in builds that are usual for the task, and no less. None of 167 recorded
searches would have lost its fastest candidate by it (`benchmarks/builds.py`)."""

LEAST_ELSEWHERE_SECS = 4.0
"""No less than this where only the builds of other tasks say what is usual: merged convolutions
take five times as long as dense layers, and the fastest of one took 2.3 s."""

_FEW, _RECENT = 8, 64
"""Builds that do not say what is usual, and those that do: the machine may become slower."""


@dataclass(frozen=True)
class Timeouts:
    """How long each step of a candidate may take, in seconds.

    Attributes:
        load: a task into a worker (TVM makes its design space: 0.01 to 0.2 s).
        replay: a schedule from a configuration (median 12 ms).
        compile: LLVM and JIT at most (0.1 to 0.3 s, the tail reaches many seconds); see
            `CompileLimit`.
        run: all runs of a candidate, its inputs included.
        judge: each step of a final: building its kernels, timing them, comparing their outputs,
            the untuned one's included. A neutral timing has as long, and on top of it what its
            candidates may take to be built and run.
    """

    load: float = 60.0
    replay: float = 10.0
    compile: float = 10.0
    run: float = 10.0
    judge: float = 300.0


class CompileLimit:
    """How long compiling a candidate may take: so many times what it usually does.

    What takes longer is hardly ever fast, and takes as long again in the last comparison and in the
    library: a dense kernel with 50 numbers in a vector took 6 s each time, where others took 0.2.

    Args:
        most: seconds, whatever is usual.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._all: deque[float] = deque(maxlen=_RECENT)
        self._of: defaultdict[str, deque[float]] = defaultdict(partial(deque, maxlen=_RECENT))

    def observe(self, task: Task, build_secs: float) -> None:
        """Learn what building a candidate of a task took, or how long it was waited for in vain."""
        self._all.append(build_secs)
        self._of[task.key].append(build_secs)

    def secs(self, task: Task) -> float:
        """Of the next candidate of a task."""
        for builds, least in ((self._of[task.key], LEAST_SECS), (self._all, LEAST_ELSEWHERE_SECS)):
            if len(builds) >= _FEW:
                return min(self._most, max(least, TIMES * statistics.median(builds)))
        return self._most


def loading(task: Task, worker: Worker, timeouts: Timeouts) -> Generator[Request, Any, None]:
    """The request that tells a worker about a task, where it does not know it."""
    if task.key not in worker.tasks:
        arguments = (task.key, task.module, dict(task.target), to_plain(task.space))
        yield Request("load_task", arguments, timeouts.load)
        worker.tasks.add(task.key)
