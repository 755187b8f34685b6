"""Where runs take place: on this machine, or in a replay of what was recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from chameleon_tuner.compare.contender import Assignment
from chameleon_tuner.compare.contest import Run
from chameleon_tuner.compare.folder import Folder
from chameleon_tuner.compare.neutral import (
    ROUND_SECS,
    ROUNDS,
    median_us,
    neutral_samples,
    noise,
    timed,
)
from chameleon_tuner.compare.processes import run_process
from chameleon_tuner.compare.runlog import RunLog
from chameleon_tuner.compare.suites import tasks_of
from chameleon_tuner.machine import cpu_name, thread_environment, usable_cores
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.space import Deployed
from chameleon_tuner.task import Task

HANDLER = "chameleon_tuner.tvm.worker:KernelWorker"


class Arena(Protocol):
    """A place for runs, and its neutral timer."""

    def tasks(self) -> list[Task]:
        """All there are."""
        ...

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """Run what is given; every log is in the folder when it comes."""
        ...

    def time(
        self, folder: Folder, wanted: Mapping[str, Sequence[Deployed]]
    ) -> Iterator[tuple[str, Mapping[Deployed, float]]]:
        """Neutral microseconds of configurations, a task at a time: by the task's name."""
        ...

    def facts(self) -> dict[str, str]:
        """What a reader has to know about the place."""
        ...


class MachineArena:
    """This machine: every run in a fresh process, one after another.

    Args:
        suite: a name or the path of an ONNX file.
        target: as the user gave it.
        handler: of the worker processes.
    """

    def __init__(self, suite: str, target: str, handler: str = HANDLER) -> None:
        self._suite, self._target, self._handler = suite, target, handler
        self._threads = usable_cores()
        self._noise: dict[str, float] = {}

    def tasks(self) -> list[Task]:
        """See `Arena.tasks`."""
        return tasks_of(self._suite, self._target)

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """See `Arena.run`."""
        tasks = {task.name: task for task in folder.tasks()}
        for run in runs:
            with tempfile.TemporaryDirectory() as scratch:
                messages = folder.path / "messages" / f"{run.name}.txt"
                assignment = self._assignment(run, tasks[run.task], folder, scratch)
                yield run, run_process(assignment, messages)

    def time(
        self, folder: Folder, wanted: Mapping[str, Sequence[Deployed]]
    ) -> Iterator[tuple[str, Mapping[Deployed, float]]]:
        """See `Arena.time`; timed together, unless a former session has all of them."""
        tasks = {task.name: task for task in folder.tasks()}
        with WorkerPool(self._handler, 1, thread_environment(self._threads)) as pool:
            timer = LocalMeasurer(pool)
            for name, configurations in wanted.items():
                task = tasks[name]

                def measure(
                    distinct: Sequence[Deployed], task: Task = task
                ) -> Mapping[Deployed, tuple[float, ...]]:
                    return neutral_samples(timer, task, distinct)

                samples = timed(folder.path / "neutral", task, configurations, measure)
                self._noise[name] = noise(samples.values())
                yield name, {c: median_us(mine) for c, mine in samples.items()}

    def facts(self) -> dict[str, str]:
        """See `Arena.facts`."""
        spread = sorted(self._noise.values())
        middle = f"{100 * spread[len(spread) // 2]:.1f}%" if spread else "-"
        return {
            "machine": f"{cpu_name()}, {self._threads} cores",
            "seconds": "wall-clock of each run, from the start of its process",
            "neutral timer": f"median of {ROUNDS} interleaved rounds of {ROUND_SECS} s; its "
            f"interquartile range is {middle} of that, in the middle of the tasks; each kernel is "
            "lowered as its tuner deploys it",
        }

    def _assignment(self, run: Run, task: Task, folder: Folder, scratch: str) -> Assignment:
        return Assignment(
            task=task.name,
            key=task.key,
            module=str(folder.module(task.name).resolve()),
            target=dict(task.target),
            vector_bits=task.vector_bits,
            recipe=run.contestant.recipe,
            terms=run.terms,
            log=str(folder.log(run).resolve()),
            scratch=scratch,
            handler=self._handler,
            threads=self._threads,
        )
