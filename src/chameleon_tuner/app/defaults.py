"""How fast kernels are with their default schedules, which the scheduler needs in a short run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from chameleon_tuner.core.agreement import TOLERANCE
from chameleon_tuner.ports.handler import Failed
from chameleon_tuner.ports.judge import Final, Judge
from chameleon_tuner.space.task import Task

Kernels = Mapping[str, Sequence[Task]]
"""The tasks that compute each kernel, the kernel's own first, by key of the kernel."""


def time_defaults(
    judge: Judge, kernels: Kernels, out_of_time: Callable[[], bool]
) -> dict[str, float]:
    """Time kernels with their default schedules, the heavy ones first.

    Args:
        judge: Times them.
        kernels: The kernels.
        out_of_time: Returns whether no more of them should be timed.

    Returns:
        The seconds by key of the kernel; infinite for those that failed.
    """
    heavy = sorted(kernels, key=lambda key: -kernels[key][0].weight * kernels[key][0].flops)
    judged = judge.judge([Final(kernels[key][0], []) for key in heavy], TOLERANCE)
    found: dict[str, float] = {}
    for key in heavy:
        if out_of_time():
            break
        timed = next(judged)
        samples = () if isinstance(timed, Failed) else timed[0].samples
        found[key] = statistics.median(samples) if samples else math.inf
    return found


def with_estimates(defaults: Mapping[str, float], kernels: Kernels) -> dict[str, float]:
    """Return the seconds of all kernels: of those that were not timed, by their arithmetic.

    Args:
        defaults: Seconds of some kernels with their default schedules.
        kernels: The kernels.
    """
    rates = [
        kernels[key][0].flops / secs
        for key, secs in defaults.items()
        if math.isfinite(secs) and kernels[key][0].flops
    ]
    if not rates:
        return dict(defaults)
    rate = statistics.median(rates)
    return {key: defaults.get(key, mine[0].flops / rate) for key, mine in kernels.items()}
