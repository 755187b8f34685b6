"""What all requests about tasks have in common: their limits, and that a worker knows the task."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from chameleon_tuner.measure.worker import Request, Worker
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.task import Task

_TIMES, _LEAST_SECS = 8.0, 1.0
"""None of 167 recorded searches would have lost its fastest candidate by this limit, and building
would have taken 4 to 5% less, in some a quarter and more (`benchmarks/builds.py`)."""

_FEW = 8
"""Builds that do not say what is usual."""


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
        recent: builds that say what is: the machine may become slower.
    """

    def __init__(self, most: float, recent: int = 64) -> None:
        self._most = most
        self._builds: deque[float] = deque(maxlen=recent)

    def observe(self, build_secs: float) -> None:
        """Learn what replaying and compiling a candidate took."""
        self._builds.append(build_secs)

    def secs(self) -> float:
        """Of the next candidate."""
        if len(self._builds) < _FEW:
            return self._most
        usual = statistics.median(self._builds)
        return min(self._most, max(_LEAST_SECS, _TIMES * usual))


def loading(task: Task, worker: Worker, timeouts: Timeouts) -> Generator[Request, Any, None]:
    """The request that tells a worker about a task, where it does not know it."""
    if task.key not in worker.tasks:
        arguments = (task.key, task.module, dict(task.target), to_plain(task.space))
        yield Request("load_task", arguments, timeouts.load)
        worker.tasks.add(task.key)
