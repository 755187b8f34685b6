"""The measurer's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import Configuration
from chameleon_tuner.task import Task


class Measurer(Protocol):
    """Answers what configurations of a task are worth."""

    def measure(
        self, task: Task, configurations: Sequence[Configuration], incumbent_secs: float
    ) -> list[Outcome]:
        """One outcome a configuration, in order. Failures are outcomes, never exceptions.

        Args:
            task: whose configurations they are.
            configurations: what to measure; most promising first.
            incumbent_secs: the task's fastest so far, infinite if there is none: what is clearly
                slower is timed less.
        """
        ...
