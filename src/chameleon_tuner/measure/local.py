"""Measuring on this machine: parallel builds, then one run at a time with the machine to itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.measure.pool import Failed, Request, Script, Worker, WorkerPool
from chameleon_tuner.measure.timing import Timing, TimingPolicy
from chameleon_tuner.space import Configuration
from chameleon_tuner.task import Task

Known = Callable[[Task, str], Outcome | None]
"""The outcome of a structural hash of a task that was measured before, if there is one."""


@dataclass(frozen=True)
class Timeouts:
    """How long each step of a candidate may take, in seconds.

    Attributes:
        load: a task into a worker (TVM makes its design space: 0.03 to 0.5 s).
        replay: a schedule from a configuration (median 12 ms).
        compile: LLVM and JIT (0.1 to 0.3 s, the tail reaches many seconds).
        run: all runs of a candidate, its inputs included.
        judge: the final comparison of a task, untuned kernel included.
    """

    load: float = 60.0
    replay: float = 10.0
    compile: float = 10.0
    run: float = 10.0
    judge: float = 300.0


@dataclass
class Stopwatch:
    """Wall-clock seconds this measurer spent, by activity."""

    build: float = 0.0
    run: float = 0.0


@dataclass
class _Candidate:
    """A configuration on its way: refused or failed, a duplicate, or built in a worker."""

    proposed: Configuration
    read_back: Configuration
    structural_hash: str = ""
    build_secs: float = 0.0
    outcome: Outcome | None = None
    worker: Worker | None = field(default=None, repr=False)
    ticket: int = -1

    def end(self, status: Status, message: str = "", timing: Timing | None = None) -> None:
        samples, spent = (timing.samples, timing.spent_secs) if timing else ((), 0.0)
        self.outcome = Outcome(
            self.read_back,
            self.proposed,
            self.structural_hash,
            status,
            samples,
            message,
            self.build_secs,
            spent,
        )


class LocalMeasurer:
    """Builds on all workers of a pool, runs on one at a time.

    Args:
        pool: whose handler is a `KernelWorker`.
        policy: how candidates are timed.
        timeouts: of each step.
        known: what has been measured before; such candidates are not built.
        lock: keeps builds and runs apart, also those of other processes.

    Attributes:
        spent: where the time went.
    """

    def __init__(
        self,
        pool: WorkerPool,
        policy: TimingPolicy | None = None,
        timeouts: Timeouts | None = None,
        known: Known = lambda task, structural_hash: None,
        lock: MachineLock | None = None,
    ) -> None:
        self._pool, self._known = pool, known
        self._policy, self._timeouts = policy or TimingPolicy(), timeouts or Timeouts()
        self._lock = lock or MachineLock()
        self.spent = Stopwatch()

    def measure(
        self, task: Task, configurations: Sequence[Configuration], incumbent_secs: float
    ) -> list[Outcome]:
        """See `Measurer.measure`. Candidates that schedule to the same module are built once."""
        candidates = [_Candidate(c, c) for c in configurations]
        pending = candidates
        while pending:
            # A worker that dies takes what was built in it along: that is built again.
            self._build(task, pending)
            incumbent_secs = self._run_all(pending, incumbent_secs)
            pending = [c for c in pending if c.outcome is None]
        return [c.outcome for c in candidates if c.outcome is not None]

    def judge(
        self, task: Task, configurations: Sequence[Configuration], rounds: int, round_secs: float
    ) -> Any:
        """Compare finalists with the untuned kernel in one worker; see `KernelWorker.judge`.

        Raises:
            Failed: the worker died of it, or it took too long.
        """
        self._pool.replenish()
        begin = time.perf_counter()
        try:
            with self._lock.running():
                worker = self._pool.workers[0]
                self._load(worker, task)
                arguments = (task.key, list(configurations), rounds, round_secs)
                request = Request("judge", arguments, self._timeouts.judge)
                return self._pool.call(worker, request)
        finally:
            self.spent.run += time.perf_counter() - begin

    def _load(self, worker: Worker, task: Task) -> None:
        if task.key not in worker.tasks:
            self._pool.call(worker, self._load_request(task))
            worker.tasks.add(task.key)

    def _load_request(self, task: Task) -> Request:
        arguments = (task.key, task.module, dict(task.target))
        return Request("load_task", arguments, self._timeouts.load)

    # -- building

    def _build(self, task: Task, candidates: Sequence[_Candidate]) -> None:
        begin = time.perf_counter()
        self._pool.replenish()
        hashes: dict[str, _Candidate] = {}
        with self._lock.building():
            self._pool.drive([partial(self._build_one, task, hashes, c) for c in candidates])
        for candidate in candidates:
            if candidate.outcome is None and candidate.ticket < 0:
                self._settle_duplicate(candidate, hashes)
        self.spent.build += time.perf_counter() - begin

    def _build_one(
        self, task: Task, hashes: dict[str, _Candidate], candidate: _Candidate, worker: Worker
    ) -> Script[None]:
        candidate.ticket = -1
        begin = time.perf_counter()
        try:
            if task.key not in worker.tasks:
                yield self._load_request(task)
                worker.tasks.add(task.key)
            ticket, read_back, found = yield Request(
                "replay", (task.key, candidate.proposed), self._timeouts.replay
            )
            candidate.read_back = read_back
            if ticket < 0:
                candidate.end(Status.REJECTED, found)
                return
            candidate.structural_hash = found
            known = self._known(task, found)
            if known is not None or found in hashes:
                candidate.outcome = _as_proposed(known, candidate) if known else None
                yield Request("forget", (ticket,), self._timeouts.replay)
                return
            hashes[found] = candidate
            candidate.build_secs = yield Request("compile", (ticket,), self._timeouts.compile)
            candidate.worker, candidate.ticket = worker, ticket
        except Failed as failure:
            candidate.build_secs = time.perf_counter() - begin
            candidate.end(failure.status, str(failure))

    @staticmethod
    def _settle_duplicate(candidate: _Candidate, hashes: dict[str, _Candidate]) -> None:
        """A candidate whose twin in the batch failed to build shares its outcome."""
        twin = hashes.get(candidate.structural_hash)
        if twin is not None and twin.outcome is not None:
            candidate.outcome = _as_proposed(twin.outcome, candidate)

    # -- running

    def _run_all(self, candidates: Sequence[_Candidate], incumbent_secs: float) -> float:
        begin = time.perf_counter()
        with self._lock.running():
            for candidate in candidates:
                worker = candidate.worker
                if candidate.outcome or worker is None or worker.connection.closed:
                    continue
                self._run_one(worker, candidate, incumbent_secs)
                if candidate.outcome is not None and candidate.outcome.status is Status.OK:
                    incumbent_secs = min(incumbent_secs, candidate.outcome.seconds)
        self._share_outcomes(candidates)
        self.spent.run += time.perf_counter() - begin
        return incumbent_secs

    def _run_one(self, worker: Worker, candidate: _Candidate, incumbent_secs: float) -> None:
        arguments = (candidate.ticket, incumbent_secs, self._policy)
        begin = time.perf_counter()
        try:
            timing = self._pool.call(worker, Request("run", arguments, self._timeouts.run))
        except Failed as failure:
            spent = Timing((), True, time.perf_counter() - begin)
            candidate.end(failure.status, str(failure), spent)
        else:
            candidate.end(Status.CENSORED if timing.censored else Status.OK, timing=timing)

    @staticmethod
    def _share_outcomes(candidates: Sequence[_Candidate]) -> None:
        done = {c.structural_hash: c.outcome for c in candidates if c.outcome and c.structural_hash}
        for candidate in candidates:
            if candidate.outcome is None and candidate.structural_hash in done:
                candidate.outcome = _as_proposed(done[candidate.structural_hash], candidate)


def _as_proposed(outcome: Outcome, candidate: _Candidate) -> Outcome:
    """The outcome of the same module, for another configuration that was asked for."""
    return Outcome(
        outcome.configuration,
        candidate.proposed,
        outcome.structural_hash,
        outcome.status,
        outcome.samples,
        outcome.message,
    )
