"""Budgets: trials, wall-clock, and the presets of `--effort`."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from chameleon_tuner.errors import UsageError

EFFORTS = {"quick": 64, "standard": 192, "full": 768}
"""Trials a task, on average, of each preset; the scheduler gives them where they gain most."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """When the search ends at the latest.

    Attributes:
        trials: of all tasks together.
        deadline: of the clock, in seconds; infinite without a time budget.
        now: the clock, the system's monotonic one unless another is given.
        search_secs: that were asked for, whatever of them is left: a run that goes on has to
            propose the same. Infinite where only the deadline counts.
    """

    trials: int
    deadline: float = math.inf
    now: Callable[[], float] = time.monotonic
    search_secs: float = math.inf

    @property
    def timed(self) -> bool:
        """Whether there is a deadline."""
        return math.isfinite(self.deadline)

    def out_of_time(self) -> bool:
        """Whether the time is up."""
        return self.now() >= self.deadline


def trials_of(effort: str, tasks: int) -> int:
    """Trials of a preset for a network of so many tasks.

    Raises:
        UsageError: there is no such preset.
    """
    if effort not in EFFORTS:
        raise UsageError(f"unknown effort {effort!r}; use one of {', '.join(EFFORTS)}")
    return EFFORTS[effort] * max(tasks, 1)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `10m`, `1h30m` or `45`.

    Raises:
        UsageError: it is not one, or not positive.
    """
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    seconds = 0.0
    if parts:
        for value, unit in zip(parts.groups(), ("h", "m", "s"), strict=True):
            seconds += float(value or 0) * _UNITS[unit]
    if seconds <= 0:
        raise UsageError(f"{text!r} is not a duration; write 90s, 10m or 1h30m")
    return seconds
