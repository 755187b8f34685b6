"""Final comparisons on this machine: built and checked side by side, timed one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from chameleon_tuner.measure.local.limits import Timeouts, loading
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import Script, WorkerPool, ask
from chameleon_tuner.measure.local.worker import Worker
from chameleon_tuner.ports.handler import Contend, Failed, HasFinals, JudgeFinal, Ready, Timed
from chameleon_tuner.ports.judge import Final, Judged
from chameleon_tuner.system.clock import Stopwatch

ROUNDS, ROUND_SECS = 5, 0.02
"""Rounds of a final, and seconds that each kernel runs in a round."""


@dataclass
class _Held:
    """A final that a worker holds.

    Attributes:
        worker: The worker.
        final: The comparison.
        failure: The failure that ended it.
        judged: Its result.
    """

    worker: Worker[HasFinals]
    final: Final
    failure: Failed | None = None
    judged: Sequence[Timed] = ()


class LocalJudge:
    """Judges as many finals at once as there are workers; implements `ports.judge.Judge`.

    Args:
        pool: Workers whose handler judges finals.
        apart_bytes: See `TimingPolicy.apart_bytes`.
        timeouts: Limits of each step.
        lock: Keeps builds and runs apart.
        clock: Counts where the time goes.
        rounds: Rounds of each final.
        round_secs: Seconds that each kernel runs in a round.
    """

    def __init__(
        self,
        pool: WorkerPool[HasFinals],
        apart_bytes: int = 0,
        timeouts: Timeouts | None = None,
        lock: MachineLock | None = None,
        clock: Stopwatch | None = None,
        rounds: int = ROUNDS,
        round_secs: float = ROUND_SECS,
    ) -> None:
        self._pool, self._timeouts = pool, timeouts or Timeouts()
        self._contend = Contend(rounds, round_secs, apart_bytes)
        self._lock, self._clock = lock or MachineLock(), clock or Stopwatch()

    def judge(self, finals: Sequence[Final], tolerance: float) -> Iterator[Judged]:
        """See `Judge.judge`."""
        waiting = list(finals)
        while waiting:
            self._pool.replenish()
            held = [_Held(*pair) for pair in zip(self._pool.workers, waiting, strict=False)]
            self._side_by_side(held, self._ready)
            for one in held:
                self._time(one)
            self._side_by_side(held, partial(self._judge, tolerance))
            yield from (one.failure or one.judged for one in held)
            del waiting[: len(held)]

    def _side_by_side(
        self, held: Sequence[_Held], script: Callable[[_Held], Script[HasFinals, None]]
    ) -> None:
        """Run a script for each final that has not failed, on its worker."""
        going_on = [one for one in held if one.failure is None]
        with self._clock.timing("build"), self._lock.building():
            self._pool.drive_each([(one.worker, script(one)) for one in going_on])

    def _ready(self, one: _Held) -> Script[HasFinals, None]:
        final = one.final
        candidates = [(f.task.key, f.configuration) for f in final.finalists]
        try:
            for task in (final.task, *(finalist.task for finalist in final.finalists)):
                yield from loading(task, one.worker, self._timeouts)
            yield from ask(Ready(final.task.key, candidates), self._timeouts.judge)
        except Failed as failure:
            one.failure = failure

    def _time(self, one: _Held) -> None:
        if one.failure is not None:
            return
        with self._clock.timing("run"), self._lock.running():
            try:
                self._pool.call(one.worker, self._contend, self._timeouts.judge)
            except Failed as failure:
                one.failure = failure

    def _judge(self, tolerance: float, one: _Held) -> Script[HasFinals, None]:
        try:
            one.judged = yield from ask(JudgeFinal(tolerance), self._timeouts.judge)
        except Failed as failure:
            one.failure = failure
