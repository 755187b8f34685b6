"""The final comparison of a kernel: its fastest candidates beside the untuned kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Failed, Timed
from chameleon_tuner.space.task import Task


@dataclass(frozen=True)
class Finalist:
    """A candidate that may be deployed.

    Attributes:
        task: The task that the candidate belongs to.
        configuration: A configuration of that task.
    """

    task: Task
    configuration: Configuration


@dataclass(frozen=True)
class Final:
    """The final comparison of one kernel.

    Attributes:
        task: The kernel's own task, whose untuned kernel takes part.
        finalists: Candidates that compute the kernel, of this task or of another algorithm's.
    """

    task: Task
    finalists: Sequence[Finalist]


Judged = Sequence[Timed] | Failed
"""Timings of the untuned kernel and of the finalists, in this order; or why there are none."""


class Judge(Protocol):
    """Compares the fastest candidates of kernels with the untuned kernels."""

    def judge(self, finals: Sequence[Final], tolerance: float) -> Iterator[Judged]:
        """Time all kernels of each final interleaved, and compare their outputs.

        Args:
            finals: The comparisons to make.
            tolerance: Largest difference of an output, relative to the largest magnitude, that is
                right. Outputs are compared from the fastest finalist on, until one is right.

        Yields:
            The result of every final, in order. A failure of a finalist is part of the result; a
            `Failed` says that the whole comparison came to nothing.

        Raises:
            MeasurementError: No more measuring is possible.
        """
        ...
