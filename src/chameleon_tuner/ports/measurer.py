"""The interface of whatever measures candidates, and when a candidate was timed enough."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.space.task import Task


@dataclass(frozen=True)
class TimingPolicy:
    """The rules that decide when a candidate has been timed enough.

    Attributes:
        slow_factor: A candidate slower than this multiple of the incumbent gets no further samples.
            One sample is enough: a single warm run was within 0.94 to 1.06 of the median in ten of
            ten kernels.
        hopeless_factor: A candidate whose cold first run takes longer than this multiple of the
            incumbent is censored; that run is its only sample.
        hopeless_secs: A candidate whose cold first run is shorter than this is never censored: the
            first run of a kernel of some microseconds takes ten times as long as the next.
        sample_secs: Each sample repeats the kernel for about this many seconds, so that the timer
            and the wake-up of the threads do not matter.
        min_samples: Least number of samples of a candidate that is not slow.
        max_samples: Largest number of samples.
        relative_error: Timing stops when the standard error of the mean, relative to the median, is
            below this.
        budget_secs: Timing stops when the samples have taken longer than this.
        apart_bytes: Bytes of weights that are read between two runs on the same weights. These are
            then as cold as in a network with so many bytes of weights. With 0 they stay warm.
    """

    slow_factor: float = 1.25
    hopeless_factor: float = 3.0
    hopeless_secs: float = 0.025
    sample_secs: float = 0.002
    min_samples: int = 3
    max_samples: int = 12
    relative_error: float = 0.01
    budget_secs: float = 0.1
    apart_bytes: int = 0


@dataclass(frozen=True)
class Timing:
    """The timed runs of a candidate.

    Attributes:
        samples: Seconds of one run, per sample.
        censored: Whether timing stopped after the cold first run, which is then the only sample.
        spent_secs: Wall-clock seconds of all runs.
    """

    samples: tuple[float, ...]
    censored: bool
    spent_secs: float = field(compare=False)


def time_candidate(
    run: Callable[[int], float], incumbent_secs: float, policy: TimingPolicy
) -> Timing:
    """Time a kernel by a policy.

    A slow candidate costs two runs if a run fills a sample; a hopeless candidate costs one.

    Args:
        run: Runs the kernel a number of times and returns the seconds of one run.
        incumbent_secs: Seconds of the fastest candidate so far; infinite without one.
        policy: The policy.

    Returns:
        The timed runs.
    """
    begin = time.perf_counter()
    cold = run(1)
    if cold > max(policy.hopeless_factor * incumbent_secs, policy.hopeless_secs):
        return Timing((cold,), True, time.perf_counter() - begin)
    samples = [run(1)]
    number = math.ceil(policy.sample_secs / max(samples[0], 1e-7))
    if number > 1:
        samples = [run(number)]
    while not _enough(samples, number, incumbent_secs, policy):
        samples.append(run(number))
    return Timing(tuple(samples), False, time.perf_counter() - begin)


def _enough(samples: list[float], number: int, incumbent_secs: float, policy: TimingPolicy) -> bool:
    if min(samples) > policy.slow_factor * incumbent_secs:
        return True
    if number * sum(samples) > policy.budget_secs or len(samples) >= policy.max_samples:
        return True
    if len(samples) < policy.min_samples:
        return False
    error = statistics.stdev(samples) / math.sqrt(len(samples))
    return error < policy.relative_error * statistics.median(samples)


@dataclass(frozen=True)
class Batch:
    """Configurations of one task to measure.

    Attributes:
        task: The task that the configurations belong to.
        configurations: The configurations, most promising first.
        incumbent_secs: Seconds of the task's fastest candidate so far, infinite without one. A
            candidate that is clearly slower is timed less.
    """

    task: Task
    configurations: Sequence[Configuration]
    incumbent_secs: float


class Measurer(Protocol):
    """Measures configurations of tasks."""

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """Return one outcome for every configuration of every batch, in order.

        Failures are outcomes, never exceptions.

        Args:
            batches: Batches of different tasks. All of them are built before any is run. The
                iterable is advanced while earlier batches are built, so that proposing the next
                batch overlaps with building.

        Returns:
            The outcomes of each batch, in the order of its configurations.

        Raises:
            MeasurementError: No more measuring is possible.
        """
        ...
