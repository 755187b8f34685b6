"""What a run tells whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chameleon_tuner.loop import Observer, TaskSearch
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.result import Result
from chameleon_tuner.schedule import GradientScheduler
from chameleon_tuner.task import Task


class Progress(Observer, Protocol):
    """Is told of every step of a run, in this order; must not raise."""

    def begin(
        self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler, recorded: int
    ) -> None:
        """The search begins, in its folder; `recorded` trials of it were measured before."""
        ...

    def finishing(self, compared: int, tasks: int) -> None:
        """The search is over; the fastest kernels of so many tasks were compared with the untuned.

        Told before the first task and after each; what follows is compiling the model.
        """
        ...

    def done(self, result: Result) -> None:
        """Everything is written."""
        ...


class Silent:
    """Shows nothing."""

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
