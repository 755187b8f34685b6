"""Measuring on this machine: parallel builds, then one run at a time with the machine to itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chameleon_tuner.measure.base import Batch
from chameleon_tuner.measure.candidate import Built, Candidate, share_outcomes
from chameleon_tuner.measure.finals import Finals
from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.measure.outcome import Failed, Outcome, Status
from chameleon_tuner.measure.pool import Script, WorkerPool
from chameleon_tuner.measure.requests import CompileLimit, Timeouts, loading
from chameleon_tuner.measure.timing import Timing, TimingPolicy
from chameleon_tuner.measure.worker import Request, Worker
from chameleon_tuner.space import Deployed
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Final, Task

Known = Callable[[Task, str], Outcome | None]
"""The outcome of a structural hash of a task that was measured before, if there is one."""


Firsts = dict[tuple[str, str], Candidate]
"""The first candidate of every module: by the task's key and the structural hash."""


@dataclass
class _Measured:
    """A batch on its way.

    Attributes:
        task: of the candidates.
        candidates: in the order of the batch.
        incumbent_secs: of the fastest so far.
    """

    task: Task
    candidates: Sequence[Candidate]
    incumbent_secs: float

    @staticmethod
    def of(batch: Batch) -> _Measured:
        """Nothing of it is built."""
        candidates = [Candidate(c, c) for c in batch.configurations]
        return _Measured(batch.task, candidates, batch.incumbent_secs)

    def pending(self) -> list[Candidate]:
        """Those that have not come to an end."""
        return [candidate for candidate in self.candidates if candidate.outcome is None]

    def outcomes(self) -> list[Outcome]:
        """Of those that have."""
        return [candidate.outcome for candidate in self.candidates if candidate.outcome]


class LocalMeasurer:
    """Builds on all workers of a pool, runs on one at a time.

    Args:
        pool: whose handler is a `KernelWorker`; a `JudgingWorker` to judge.
        policy: how candidates are timed.
        timeouts: of each step.
        known: what has been measured before; such candidates are not built.
        lock: keeps builds and runs apart, also those of other processes.
        clock: learns where the time goes, waiting for the machine included.

    Attributes:
        known: as given; may be set later.
        policy: as given.
    """

    def __init__(
        self,
        pool: WorkerPool,
        policy: TimingPolicy | None = None,
        timeouts: Timeouts | None = None,
        known: Known = lambda task, structural_hash: None,
        lock: MachineLock | None = None,
        clock: Stopwatch | None = None,
    ) -> None:
        self._pool, self.known = pool, known
        self.policy, self._timeouts = policy or TimingPolicy(), timeouts or Timeouts()
        self._lock, self._clock = lock or MachineLock(), clock or Stopwatch()
        self._compile_limit = CompileLimit(self._timeouts.compile)

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`. Candidates that schedule to the same module are built once.

        Raises:
            MeasurementError: the pool cannot go on.
        """
        measured: list[_Measured] = []

        def arriving() -> Iterator[_Measured]:
            for batch in batches:
                measured.append(_Measured.of(batch))
                yield measured[-1]

        self._build_all(arriving())
        self._run_all(measured)
        while pending := [one for one in measured if one.pending()]:
            # A worker that died took what was built in it along: that is built again.
            self._build_all(pending)
            self._run_all(pending)
        return [one.outcomes() for one in measured]

    def judge(
        self, finals: Sequence[Final], rounds: int, round_secs: float, tolerance: float = -1.0
    ) -> Iterator[Any]:
        """Compare finalists with untuned kernels; see `Finals.judge`."""
        arena = Finals(self._pool, self._timeouts, self._lock, self._clock)
        timing = (rounds, round_secs, self.policy.apart_bytes)
        return arena.judge(finals, timing, tolerance)

    def time(
        self,
        task: Task,
        configurations: Sequence[Deployed],
        rounds: int,
        round_secs: float,
    ) -> Any:
        """Time candidates interleaved in one worker; see `KernelWorker.time`.

        Raises:
            Failed: the worker died of it, or it took too long.
            MeasurementError: the pool cannot go on.
        """
        limits = self._timeouts
        share_secs = limits.replay + limits.compile + rounds * round_secs
        timeout_secs = limits.judge + len(configurations) * share_secs
        arguments = (task.key, list(configurations), rounds, round_secs)
        self._pool.replenish()
        worker = self._pool.workers[0]
        with self._clock.timing("run"), self._lock.running():
            for request in loading(task, worker, limits):
                self._pool.call(worker, request)
            return self._pool.call(worker, Request("time", arguments, timeout_secs))

    # -- building

    def _build_all(self, batches: Iterable[_Measured]) -> None:
        first: Firsts = {}
        scripts = (
            partial(self._build_one, one.task, first, candidate)
            for one in batches
            for candidate in one.pending()
        )
        with self._clock.timing("build"), self._lock.building():
            self._pool.drive(scripts)

    def _build_one(
        self, task: Task, first: Firsts, candidate: Candidate, worker: Worker
    ) -> Script[None]:
        """Build a candidate, unless its module is in `first` or was measured before."""
        candidate.built = None
        begin = time.perf_counter()
        try:
            yield from loading(task, worker, self._timeouts)
            begin = time.perf_counter()
            ticket, candidate.read_back, candidate.structural_hash = yield Request(
                "replay", (task.key, candidate.proposed), self._timeouts.replay
            )
            known = self.known(task, candidate.structural_hash)
            module = task.key, candidate.structural_hash
            if known is None and first.setdefault(module, candidate) is candidate:
                yield Request("compile", (ticket,), self._compile_limit.secs(task))
                candidate.built = Built(worker, ticket)
                candidate.build_secs = time.perf_counter() - begin
                self._compile_limit.observe(task, candidate.build_secs)
            else:
                yield Request("forget", (ticket,), self._timeouts.replay)
            if known is not None:
                candidate.adopt(known)
        except Failed as failure:
            candidate.build_secs = time.perf_counter() - begin
            if failure.status is Status.TIMEOUT:  # where all run into it, it was too short
                self._compile_limit.observe(task, candidate.build_secs)
            candidate.end(failure.status, str(failure))

    # -- running

    def _run_all(self, batches: Sequence[_Measured]) -> None:
        """Run what is built."""
        with self._clock.timing("run"), self._lock.running():
            for one in batches:
                self._run_batch(one)
                share_outcomes(one.candidates)

    def _run_batch(self, batch: _Measured) -> None:
        for candidate in batch.candidates:
            if candidate.runnable and candidate.built is not None:
                self._run_one(candidate, candidate.built, batch.incumbent_secs)
                if candidate.outcome and candidate.outcome.status is Status.OK:
                    batch.incumbent_secs = min(batch.incumbent_secs, candidate.outcome.seconds)

    def _run_one(self, candidate: Candidate, built: Built, incumbent_secs: float) -> None:
        arguments = (built.ticket, incumbent_secs, self.policy)
        begin = time.perf_counter()
        try:
            request = Request("run", arguments, self._timeouts.run)
            timing = self._pool.call(built.worker, request)
        except Failed as failure:
            spent = Timing((), censored=False, spent_secs=time.perf_counter() - begin)
            candidate.end(failure.status, str(failure), spent)
        else:
            candidate.end(Status.CENSORED if timing.censored else Status.OK, timing=timing)
