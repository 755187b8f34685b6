"""Finals on this machine: built and checked side by side, timed one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.measure.outcome import Failed
from chameleon_tuner.measure.pool import Script, WorkerPool
from chameleon_tuner.measure.requests import Timeouts, loading
from chameleon_tuner.measure.worker import Request, Worker
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Final


@dataclass
class _Held:
    """A final in a worker.

    Attributes:
        worker: that holds it.
        final: what is compared.
        failure: that ended it.
        judged: what became of it.
    """

    worker: Worker
    final: Final
    failure: Failed | None = None
    judged: Any = None


class Finals:
    """As many at once as there are workers.

    Args:
        pool: whose handler is a `JudgingWorker`.
        timeouts: of each step.
        lock: keeps builds and runs apart.
        clock: learns where the time goes.
    """

    def __init__(
        self, pool: WorkerPool, timeouts: Timeouts, lock: MachineLock, clock: Stopwatch
    ) -> None:
        self._pool, self._timeouts = pool, timeouts
        self._lock, self._clock = lock, clock

    def judge(
        self, finals: Sequence[Final], timing: tuple[int, float, int], tolerance: float
    ) -> Iterator[Any]:
        """Compare finalists with untuned kernels.

        Args:
            finals: of kernels.
            timing: see `JudgingWorker.contend`.
            tolerance: see `JudgingWorker.judge`.

        Yields:
            What `JudgingWorker.judge` returns, final by final; a `Failed` where the worker died
            of it, or it took too long.

        Raises:
            MeasurementError: the pool cannot go on.
        """
        waiting = list(finals)
        while waiting:
            self._pool.replenish()
            held = [_Held(*pair) for pair in zip(self._pool.workers, waiting, strict=False)]
            self._side_by_side(held, self._ready)
            for one in held:
                self._contend(one, timing)
            self._side_by_side(held, partial(self._judge, tolerance))
            yield from (one.failure or one.judged for one in held)
            del waiting[: len(held)]

    def _side_by_side(self, held: Sequence[_Held], script: Callable[[_Held], Script[None]]) -> None:
        """A script for each that has not failed, on its worker."""
        going_on = [one for one in held if one.failure is None]
        with self._clock.timing("build"), self._lock.building():
            self._pool.drive_each([(one.worker, script(one)) for one in going_on])

    def _ready(self, one: _Held) -> Script[None]:
        final = one.final
        candidates = [(f.task.key, f.configuration) for f in final.finalists]
        try:
            for task in (final.task, *(finalist.task for finalist in final.finalists)):
                yield from loading(task, one.worker, self._timeouts)
            yield Request("ready", (final.task.key, candidates), self._timeouts.judge)
        except Failed as failure:
            one.failure = failure

    def _contend(self, one: _Held, timing: tuple[int, float, int]) -> None:
        if one.failure is not None:
            return
        with self._clock.timing("run"), self._lock.running():
            try:
                self._pool.call(one.worker, Request("contend", timing, self._timeouts.judge))
            except Failed as failure:
                one.failure = failure

    def _judge(self, tolerance: float, one: _Held) -> Script[None]:
        try:
            one.judged = yield Request("judge", (tolerance,), self._timeouts.judge)
        except Failed as failure:
            one.failure = failure
