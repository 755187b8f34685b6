"""The two-phase timing policy: one run tells the slow, contenders repeat until they are sure."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TimingPolicy:
    """When a candidate has been timed enough.

    Attributes:
        slow_factor: slower than this many incumbents after one timed run: stop. A single warm
            run was within 0.94 to 1.06 of the median in ten of ten kernels.
        hopeless_factor: when the cold first run alone is this many incumbents, it is the sample
            and the candidate is censored.
        hopeless_secs: a cold run shorter than this is followed by a warm one whatever it says;
            the first run of a kernel of some microseconds takes ten times as long as the next.
        sample_secs: a timed run repeats the kernel until it lasts this long, so that the timer
            and the wake-up of the threads do not count.
        min_samples: of a contender.
        max_samples: of a contender.
        relative_error: a contender stops when the standard error of its mean is below this.
        budget_secs: a contender stops when its timed runs add up to so much.
        apart_bytes: of weights that are read between two runs of the kernel: its own are as cold
            then as in a network that has so many. 0 leaves them warm.
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
    """Timed runs of a candidate.

    Attributes:
        samples: seconds a run.
        censored: whether it was cut off: the sample is of a cold run.
        spent_secs: wall-clock of all runs.
    """

    samples: tuple[float, ...]
    censored: bool
    spent_secs: float = field(compare=False)


def time_candidate(
    run: Callable[[int], float], incumbent_secs: float, policy: TimingPolicy
) -> Timing:
    """Time a kernel as the policy says.

    A slow candidate costs two runs, a hopeless one costs one.

    Args:
        run: runs the kernel so many times; seconds a run.
        incumbent_secs: the fastest so far; infinite when there is none.
        policy: when to stop.
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
