"""A stopwatch that divides the wall-clock time of a run among its activities."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from chameleon_tuner.system.machine import process_age_secs

ACTIVITIES = ("explore", "sample", "fit", "build", "run")
"""The activities of a run that are timed separately."""


class Stopwatch:
    """The seconds of a run by activity; time outside every activity counts as `other`.

    For a command the total counts from the start of the process, because imports and the start of
    the workers are part of what a user waits for. For a library call in a process that was running
    before, it counts from the call.

    Args:
        from_process_start: Whether the time before this object was made counts, too.
    """

    def __init__(self, *, from_process_start: bool = False) -> None:
        self.from_process_start = from_process_start
        self._begin = time.perf_counter()
        if from_process_start:
            self._begin -= process_age_secs()
        self._spent = dict.fromkeys(ACTIVITIES, 0.0)
        self._within = 0.0

    @contextlib.contextmanager
    def timing(self, activity: str) -> Iterator[None]:
        """Count the time of the block for an activity, without the time of nested blocks.

        Args:
            activity: One of `ACTIVITIES`.
        """
        begin, self._within, before = time.perf_counter(), 0.0, self._within
        try:
            yield
        finally:
            secs = time.perf_counter() - begin
            self._spent[activity] += secs - self._within
            self._within = before + secs

    def total(self) -> float:
        """Return the seconds since the stopwatch began to count."""
        return time.perf_counter() - self._begin

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every activity, of `other` and of `total`."""
        total = self.total()
        other = max(0.0, total - sum(self._spent.values()))
        return {"total": total, **self._spent, "other": other}


def mean_secs(run: Callable[[], object], at_least_secs: float) -> float:
    """Return the mean seconds of one run, repeated until `at_least_secs` have passed.

    `run` is called at least once.
    """
    begin = time.perf_counter()
    calls = 0
    while calls == 0 or time.perf_counter() - begin < at_least_secs:
        run()
        calls += 1
    return (time.perf_counter() - begin) / calls
