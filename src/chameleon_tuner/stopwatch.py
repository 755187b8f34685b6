"""Where the wall-clock of a run goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from chameleon_tuner.machine import process_age_secs

ACTIVITIES = ("explore", "sample", "fit", "build", "run")


class Stopwatch:
    """Seconds by activity; what is in none of them is `other`.

    The total counts from the start of the process: imports and the start of the workers are
    part of what a user waits for. A library call in a process that was there before counts from
    the call.

    Args:
        from_process_start: count the time before this object was made, too.
    """

    def __init__(self, *, from_process_start: bool = False) -> None:
        self._begin = time.perf_counter()
        if from_process_start:
            self._begin -= process_age_secs()
        self._spent = dict.fromkeys(ACTIVITIES, 0.0)
        self._within = 0.0

    @contextlib.contextmanager
    def timing(self, activity: str) -> Iterator[None]:
        """Count the block's time for an activity, but for what is counted for others within."""
        begin, self._within, before = time.perf_counter(), 0.0, self._within
        try:
            yield
        finally:
            secs = time.perf_counter() - begin
            self._spent[activity] += secs - self._within
            self._within = before + secs

    def total(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin

    def seconds(self) -> dict[str, float]:
        """All activities, `other` and `total`."""
        total = self.total()
        other = max(0.0, total - sum(self._spent.values()))
        return {"total": total, **self._spent, "other": other}


def mean_secs(run: Callable[[], object], at_least_secs: float) -> float:
    """Seconds of one run, the mean of as many as fill the time, at least one."""
    begin = time.perf_counter()
    calls = 0
    while calls == 0 or time.perf_counter() - begin < at_least_secs:
        run()
        calls += 1
    return (time.perf_counter() - begin) / calls
