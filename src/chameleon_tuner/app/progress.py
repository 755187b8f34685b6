"""The interface for following a tuning run, and an implementation that shows nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.report.result import Result
from chameleon_tuner.search.loop import Observer, TaskSearch
from chameleon_tuner.search.schedule import GradientScheduler
from chameleon_tuner.space.task import Task


class Progress(Observer, Protocol):
    """The interface for following a run, for example to show its progress.

    The steps come in this order: `begin`, `batch_done` for every batch, `finishing`, `done`. The
    methods must not raise.
    """

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """Handle the start of the search.

        Args:
            model: Name of the model.
            tasks: The tasks of the model.
            scheduler: The scheduler, which distributes the trials over the tasks.
            recorded: Number of trials that an earlier, interrupted run measured in the same folder.
        """
        ...

    def finishing(self, compared: int, tasks: int) -> None:
        """Handle the progress of the final comparisons, which follow the search.

        They compare the fastest candidates of each kernel with the untuned kernel. This is called
        before the first kernel and after each one. Then the model is compiled.

        Args:
            compared: Number of kernels that were compared.
            tasks: Number of all kernels.
        """
        ...

    def done(self, result: Result) -> None:
        """Handle the end of the run, after everything was written."""
        ...


class Silent:
    """A `Progress` that shows nothing."""

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """See `Progress.begin`."""

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""

    def finishing(self, compared: int, tasks: int) -> None:
        """See `Progress.finishing`."""

    def done(self, result: Result) -> None:
        """See `Progress.done`."""
