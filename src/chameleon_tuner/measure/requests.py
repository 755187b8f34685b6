"""What all requests about tasks have in common: their limits, and that a worker knows the task."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from chameleon_tuner.measure.worker import Request, Worker
from chameleon_tuner.task import Task


@dataclass(frozen=True)
class Timeouts:
    """How long each step of a candidate may take, in seconds.

    Attributes:
        load: a task into a worker (TVM makes its design space: 0.03 to 0.5 s).
        replay: a schedule from a configuration (median 12 ms).
        compile: LLVM and JIT (0.1 to 0.3 s, the tail reaches many seconds).
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


def loading(task: Task, worker: Worker, timeouts: Timeouts) -> Generator[Request, Any, None]:
    """The request that tells a worker about a task, where it does not know it."""
    if task.key not in worker.tasks:
        yield Request("load_task", (task.key, task.module, dict(task.target)), timeouts.load)
        worker.tasks.add(task.key)
