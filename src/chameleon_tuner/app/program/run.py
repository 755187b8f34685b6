"""A run in progress: what its stages share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from chameleon_tuner.app.program.options import ProgramOptions
from chameleon_tuner.backends.program.handler import ProgramHandler
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.measure.local.limits import Timeouts, loading
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.handler import Request
from chameleon_tuner.ports.records import RunInfo
from chameleon_tuner.report.program import ProgramLines
from chameleon_tuner.search.recipes import Recipe
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

R = TypeVar("R")

BEST, REFERENCE, SCRATCH = "best", "reference", "candidates"
"""What is in the output folder beside the records: the winner's own files, the output that is
right, and the folders of candidates while the run goes on."""


@dataclass(frozen=True)
class ProgramRun:
    """A run in progress.

    Attributes:
        project: The program.
        out: The folder.
        options: What was asked for.
        recipe: How it is searched.
        pool: Worker processes.
        shown: Is told what happens.
        clock: The clock of the run.
        lock: Keeps builds and runs apart.
    """

    project: ProgramProject
    out: Path
    options: ProgramOptions
    recipe: Recipe
    pool: WorkerPool[ProgramHandler]
    shown: ProgramLines
    clock: Stopwatch
    lock: MachineLock

    @property
    def spec(self) -> Spec:
        """The specification."""
        return self.project.spec

    @property
    def info(self) -> RunInfo:
        """What makes another command the same run, which it then resumes."""
        timed = self.options.time_budget is not None  # the size of batches follows from it
        settings = {
            "backend": "program",
            "environment": self.project.environment.fingerprint,
            "time_budget": self.options.time_budget if timed else None,
        }
        return RunInfo(self.project.digest, self.recipe.name, self.options.seed, settings)

    def ask(self, task: Task, request: Request[ProgramHandler, R], secs: float) -> R:
        """Send a request about a task to a worker that has the machine to itself.

        Args:
            task: The task.
            request: The request.
            secs: Its limit in seconds.

        Returns:
            The answer.

        Raises:
            Failed: It failed.
        """
        self.pool.replenish()
        [worker, *_] = self.pool.workers
        with self.lock.running():
            self.pool.drive_each([(worker, loading(task, worker, Timeouts()))])
            return self.pool.call(worker, request, secs)
