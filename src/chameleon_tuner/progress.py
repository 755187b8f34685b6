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

    def begin(self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler) -> None:
        """The search begins."""
        ...

    def finishing(self) -> None:
        """The search is over; finalists are compared and the model is compiled."""
        ...

    def done(self, result: Result) -> None:
        """Everything is written."""
        ...


class Silent:
    """Shows nothing."""

    def begin(self, model: str, tasks: Sequence[Task], scheduler: GradientScheduler) -> None:
        """See `Progress.begin`."""

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""

    def finishing(self) -> None:
        """See `Progress.finishing`."""

    def done(self, result: Result) -> None:
        """See `Progress.done`."""
