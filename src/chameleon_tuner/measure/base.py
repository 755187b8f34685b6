"""The measurer's interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import Configuration
from chameleon_tuner.task import Task


@dataclass(frozen=True)
class Batch:
    """What to measure of a task.

    Attributes:
        task: whose configurations they are.
        configurations: most promising first.
        incumbent_secs: the task's fastest so far, infinite if there is none: what is clearly slower
            is timed less.
    """

    task: Task
    configurations: Sequence[Configuration]
    incumbent_secs: float


class Measurer(Protocol):
    """Answers what configurations of tasks are worth."""

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """For each batch one outcome a configuration, in order.

        Failures are outcomes, never exceptions.

        Args:
            batches: each of another task; all of them are built before any is run. They may be
                made as they are asked for, which is while others are built.
        """
        ...
