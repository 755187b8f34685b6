"""Measuring on this machine: parallel builds, then one run at a time with the machine to itself."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from chameleon_tuner.core.configuration import Configuration, DeployedKernel
from chameleon_tuner.core.outcome import DistinctOutcomes, Outcome, Status
from chameleon_tuner.measure.local.limits import CompileLimit, Timeouts, loading
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import Script, WorkerPool, ask
from chameleon_tuner.measure.local.worker import Worker
from chameleon_tuner.ports.handler import (
    Compile,
    Failed,
    Forget,
    HasCandidates,
    HasNeutralTimer,
    Replay,
    Run,
    Timed,
    TimeKernels,
)
from chameleon_tuner.ports.measurer import Batch, Timing, TimingPolicy
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

Recall = Callable[[Task, str], Outcome | None]
"""Returns the outcome of a structural hash of a task that was measured before; None without one."""


@dataclass(frozen=True)
class _Built:
    """The kernel of a candidate: a worker holds it under a ticket."""

    worker: Worker[HasCandidates]
    ticket: int


@dataclass
class _Candidate:
    """A configuration on its way through building and running, until `outcome` is set.

    Attributes:
        proposed: The configuration that was asked for.
        read_back: The configuration that the schedule has.
        structural_hash: Hash of the scheduled module; empty before the replay.
        build_secs: Seconds of replaying and compiling.
        built: Its kernel; None where it was not built, or where another candidate with the same
            module was.
        outcome: How it ended.
    """

    proposed: Configuration
    read_back: Configuration
    structural_hash: str = ""
    build_secs: float = 0.0
    built: _Built | None = None
    outcome: Outcome | None = None

    @property
    def runnable(self) -> bool:
        """Whether its kernel waits in a worker that lives."""
        return self.outcome is None and self.built is not None and not self.built.worker.closed

    def end(self, status: Status, message: str = "", timing: Timing | None = None) -> None:
        """Set the outcome.

        Args:
            status: How it ended.
            message: The cause of a failure.
            timing: The timed runs.
        """
        self.outcome = Outcome(
            self.read_back,
            self.proposed,
            self.structural_hash,
            status,
            samples=timing.samples if timing else (),
            message=message,
            build_secs=self.build_secs,
            run_secs=timing.spent_secs if timing else 0.0,
        )

    def adopt(self, outcome: Outcome) -> None:
        """Take the outcome of the same module, measured for another configuration or before."""
        self.outcome = dataclasses.replace(
            outcome,
            configuration=self.read_back,
            proposed=self.proposed,
            build_secs=self.build_secs,
            run_secs=0.0,
        )


Firsts = dict[tuple[str, str], _Candidate]
"""The candidate that is built for a module, by the task's key and the structural hash."""


@dataclass
class _Pending:
    """A batch on its way.

    Attributes:
        task: The task of the candidates.
        candidates: The candidates in the order of the batch.
        incumbent_secs: Seconds of the fastest candidate so far.
    """

    task: Task
    candidates: Sequence[_Candidate]
    incumbent_secs: float

    @staticmethod
    def of(batch: Batch) -> _Pending:
        """Return a batch of which nothing is built."""
        candidates = [_Candidate(c, c) for c in batch.configurations]
        return _Pending(batch.task, candidates, batch.incumbent_secs)

    def unfinished(self) -> list[_Candidate]:
        """Return the candidates without an outcome."""
        return [candidate for candidate in self.candidates if candidate.outcome is None]

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes so far."""
        return [candidate.outcome for candidate in self.candidates if candidate.outcome]

    def share_outcomes(self) -> None:
        """Give candidates without an outcome that of another candidate with the same module."""
        done = DistinctOutcomes(self.outcomes())
        for candidate in self.unfinished():
            found = done.of_module(candidate.structural_hash)
            if found is not None:
                candidate.adopt(found)


class LocalMeasurer:
    """Builds on all workers of a pool, runs on one at a time; implements `ports.measurer.Measurer`.

    Args:
        pool: Workers whose handler measures candidates.
        policy: How candidates are timed.
        timeouts: Limits of each step.
        known: Recalls what was measured before; such candidates are not built.
        lock: Keeps builds and runs apart, also those of other processes.
        clock: Counts where the time goes, waiting for the machine included.

    Attributes:
        known: As given; may be set later.
    """

    def __init__(
        self,
        pool: WorkerPool[HasCandidates],
        policy: TimingPolicy | None = None,
        timeouts: Timeouts | None = None,
        known: Recall = lambda task, structural_hash: None,
        lock: MachineLock | None = None,
        clock: Stopwatch | None = None,
    ) -> None:
        self._pool, self.known = pool, known
        self._policy, self._timeouts = policy or TimingPolicy(), timeouts or Timeouts()
        self._lock, self._clock = lock or MachineLock(), clock or Stopwatch()
        self._compile_limit = CompileLimit(self._timeouts.compile, self._timeouts.compile_times)

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        """See `Measurer.measure`. Candidates that schedule to the same module are built once."""
        pending: list[_Pending] = []

        def arriving() -> Iterator[_Pending]:
            for batch in batches:
                pending.append(_Pending.of(batch))
                yield pending[-1]

        self._build_all(arriving())
        self._run_all(pending)
        while unfinished := [one for one in pending if one.unfinished()]:
            # A worker that died took what was built in it along: that is built again.
            self._build_all(unfinished)
            self._run_all(unfinished)
        return [one.outcomes() for one in pending]

    # -- building

    def _build_all(self, batches: Iterable[_Pending]) -> None:
        first: Firsts = {}
        scripts = (
            partial(self._build_one, one.task, first, candidate)
            for one in batches
            for candidate in one.unfinished()
        )
        with self._clock.timing("build"), self._lock.building():
            self._pool.drive(scripts)

    def _build_one(
        self, task: Task, first: Firsts, candidate: _Candidate, worker: Worker[HasCandidates]
    ) -> Script[HasCandidates, None]:
        """Build a candidate, unless its module is in `first` or was measured before."""
        candidate.built = None
        begin = time.perf_counter()
        try:
            yield from loading(task, worker, self._timeouts)
            begin = time.perf_counter()
            replay = Replay(task.key, candidate.proposed)
            scheduled = yield from ask(replay, self._timeouts.replay)
            candidate.read_back = scheduled.configuration
            candidate.structural_hash = scheduled.structural_hash
            known = self.known(task, scheduled.structural_hash)
            module = task.key, scheduled.structural_hash
            if known is None and first.setdefault(module, candidate) is candidate:
                yield from ask(Compile(scheduled.ticket), self._compile_limit.secs(task))
                candidate.built = _Built(worker, scheduled.ticket)
                candidate.build_secs = time.perf_counter() - begin
                self._compile_limit.observe(task, candidate.build_secs)
            else:
                yield from ask(Forget(scheduled.ticket), self._timeouts.replay)
            if known is not None:
                candidate.adopt(known)
        except Failed as failure:
            candidate.build_secs = time.perf_counter() - begin
            if failure.status is Status.TIMEOUT:  # where all run into it, it was too short
                self._compile_limit.observe(task, candidate.build_secs)
            candidate.end(failure.status, str(failure))

    # -- running

    def _run_all(self, batches: Sequence[_Pending]) -> None:
        with self._clock.timing("run"), self._lock.running():
            for one in batches:
                self._run_batch(one)
                one.share_outcomes()

    def _run_batch(self, batch: _Pending) -> None:
        for candidate in batch.candidates:
            if candidate.runnable and candidate.built is not None:
                self._run_one(candidate, candidate.built, batch.incumbent_secs)
                if candidate.outcome and candidate.outcome.status is Status.OK:
                    batch.incumbent_secs = min(batch.incumbent_secs, candidate.outcome.seconds)

    def _run_one(self, candidate: _Candidate, built: _Built, incumbent_secs: float) -> None:
        begin = time.perf_counter()
        try:
            request = Run(built.ticket, incumbent_secs, self._policy)
            timing = self._pool.call(built.worker, request, self._timeouts.run)
        except Failed as failure:
            spent = Timing((), censored=False, spent_secs=time.perf_counter() - begin)
            candidate.end(failure.status, str(failure), spent)
        else:
            candidate.end(Status.CENSORED if timing.censored else Status.OK, timing=timing)


class LocalNeutralTimer:
    """Times kernels of any tuner side by side in one worker of a pool.

    Args:
        pool: Workers whose handler times kernels.
        timeouts: Limits of each step.
        lock: Keeps builds and runs apart.
    """

    def __init__(
        self,
        pool: WorkerPool[HasNeutralTimer],
        timeouts: Timeouts | None = None,
        lock: MachineLock | None = None,
    ) -> None:
        self._pool, self._timeouts = pool, timeouts or Timeouts()
        self._lock = lock or MachineLock()

    def time(
        self, task: Task, kernels: Sequence[DeployedKernel], rounds: int, round_secs: float
    ) -> list[Timed]:
        """Time kernels of one task interleaved; see `NeutralHandler.time`.

        Args:
            task: The task.
            kernels: The kernels.
            rounds: Number of rounds.
            round_secs: Seconds that each kernel runs in a round.

        Returns:
            One result a kernel, in order.

        Raises:
            Failed: The worker died, or it took too long.
            MeasurementError: No more measuring is possible.
        """
        limits = self._timeouts
        share_secs = limits.replay + limits.compile + rounds * round_secs
        request = TimeKernels(task.key, list(kernels), rounds, round_secs)
        self._pool.replenish()
        worker = self._pool.workers[0]
        with self._lock.running():
            self._pool.drive_each([(worker, loading(task, worker, limits))])
            return self._pool.call(worker, request, limits.judge + len(kernels) * share_secs)
