"""TVM's own tuner, untouched, as a contestant: MetaSchedule's run as a log."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tvm
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.measure_callback import MeasureCallback, PyMeasureCallback
from tvm.s_tir.meta_schedule.utils import shash2hex
from tvm.s_tir.schedule import Instruction, Schedule, Trace
from tvm.target import Target

from chameleon_tuner.compare.contest import METASCHEDULE_BATCH
from chameleon_tuner.compare.runlog import Batch, RunLog, Trial
from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.space import Configuration, ForeignTrace
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.tvm.database import RECORDS, WORKLOADS
from chameleon_tuner.tvm.traces import TracedSpace, load_module, traced_space

TRIALS_PER_ROUND = METASCHEDULE_BATCH

_JOBS_PER_CORE = 16
"""Of a parallel loop at most: TVM's `max_jobs_per_core` in its rules for CPUs."""

# What TVM's LocalBuilder and LocalRunner report, in builder/local_builder.py and
# runner/local_runner.py; the last is from support/popen_pool.py.
_TIMEOUTS = ("LocalBuilder: Timeout", "LocalRunner: Timeout")
_DIED = "An exception occurred\nSubprocess terminated"


@dataclass(frozen=True)
class PeerRequest:
    """A task for TVM's own tuner.

    Attributes:
        recipe: how the comparison names this contestant.
        task: name of the task.
        module: TVM's JSON of the module, see `Task.module`.
        target: TVM's JSON of the target, see `Task.target`.
        seed: of the search; see `search_seed`.
        trials: that it may measure.
        budget_secs: of the run's clock; no further round begins after them.
    """

    recipe: str
    task: str
    module: str = field(repr=False)
    target: Mapping[str, Any] = field(repr=False)
    seed: int
    trials: int
    budget_secs: float = math.inf


def tune(
    request: PeerRequest, folder: Path, clock: Stopwatch, keep: Callable[[RunLog], None]
) -> RunLog:
    """Tune a task as `tune_tir` does it for any user of TVM.

    Call it once a process, in one that has made no `TracedSpace`: that would spare MetaSchedule
    the import of every target's tensor intrinsics, which its users pay for. The time for reading
    its candidates back is ours, and is left out of all seconds in the log.

    Args:
        request: what to tune, and for how long.
        folder: MetaSchedule's working directory, which exists; an earlier database in it is
            deleted, or the search would begin with its records.
        clock: of the run.
        keep: receives the log so far after every round, in case the process is killed.

    Returns:
        The whole log. An exception of MetaSchedule is its `error`.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    # Its console handler takes the level that its logger has before; files still get everything.
    logging.getLogger(meta_schedule.__name__).setLevel(logging.CRITICAL)
    module, target = load_module(request.module), Target(dict(request.target))
    rounds = _Rounds(request, clock, keep)
    error = ""
    try:
        meta_schedule.tune_tir(
            module,
            target,
            str(folder),
            request.trials,
            num_trials_per_iter=TRIALS_PER_ROUND,
            measure_callbacks=[*MeasureCallback.create("default"), AfterRound(rounds.note)],
            seed=search_seed(request.seed),
        )
    except Exception as failure:  # whatever it is, what was measured before counts
        if not rounds.over:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return rounds.log(error)


def search_seed(seed: int) -> int:
    """A seed that `tune_tir` takes: NumPy's `RandomState` forks it and knows 32 bits."""
    return seed % 2**32


def status_of(build_error: str | None, run_error: str | None) -> Status:
    """How a measurement ended, from the messages of TVM's local builder and runner."""
    message = build_error or run_error
    if not message:
        return Status.OK
    if message.startswith(_TIMEOUTS):
        return Status.TIMEOUT
    if message.rstrip().endswith(_DIED):
        return Status.CRASHED
    return Status.BUILD_ERROR if build_error else Status.RUN_ERROR


def counterpart(space: TracedSpace, schedule: Schedule) -> Configuration | None:
    """The configuration that makes the same module as a candidate of MetaSchedule.

    Its search also changes how many jobs a parallel loop may have (`MutateParallel`), for which
    there is no knob. About half of those candidates are nevertheless the module that they would
    be with all the jobs; for the others there is None.
    """
    found = space.configuration_of(schedule.trace)
    if found is None:
        found = space.configuration_of(_with_all_jobs(schedule.trace, space.target))
        if found and space.replay(found).structural_hash != shash2hex(schedule.mod):
            return None
    return found


def foreign(schedule: Schedule) -> ForeignTrace:
    """What a candidate without a configuration can be built from again."""
    return ForeignTrace(str(tvm.ir.save_json(schedule.trace.as_json())))


def _with_all_jobs(trace: Trace, target: Target) -> Trace:
    jobs = _JOBS_PER_CORE * int(target.attrs.get("num-cores", 0))

    def restored(instruction: Any) -> Any:
        name, attrs = instruction.kind.name, instruction.attrs
        if (name, *map(str, attrs)) != ("Annotate", "meta_schedule.parallel"):
            return instruction
        block, _ = instruction.inputs
        return Instruction(instruction.kind, [block, jobs], attrs, instruction.outputs)

    return Trace([restored(instruction) for instruction in trace.insts], trace.decisions)


class _BudgetSpentError(Exception):
    """Ends the tuning: MetaSchedule has no time budget of its own."""


class _Rounds:
    """The log as it grows, and the clock without the time that the log itself takes."""

    def __init__(
        self, request: PeerRequest, clock: Stopwatch, keep: Callable[[RunLog], None]
    ) -> None:
        self._request, self._clock, self._keep = request, clock, keep
        self._space: TracedSpace | None = None
        self._aside_secs = 0.0
        self._startup_secs = clock.total()
        self._batches: list[Batch] = []
        self._trials: list[Trial] = []
        self.over = False

    def note(self, candidates: Sequence[Any], built: Sequence[Any], run: Sequence[Any]) -> None:
        """Log a round; the sequences are MetaSchedule's, an entry a candidate.

        Raises:
            _BudgetSpentError: there is no time for another.
        """
        ended = self._seconds()
        if self._space is None:  # only now: see `tune`
            self._space = traced_space(self._request.module, self._request.target)
        for candidate, builder, runner in zip(candidates, built, run, strict=True):
            found = counterpart(self._space, candidate.sch)
            status = status_of(builder.error_msg, runner.error_msg)
            own_secs = _own_secs(status, runner)
            trace = None if found else foreign(candidate.sch)
            self._trials.append(Trial(found, status, own_secs, trace=trace))
        self._batches.append(Batch(ended, len(self._trials)))
        self._keep(self._log_at(ended))
        self._aside_secs += self._seconds() - ended
        if ended >= self._request.budget_secs:
            self.over = True
            raise _BudgetSpentError

    def log(self, error: str) -> RunLog:
        """The log as of now."""
        return self._log_at(self._seconds(), error)

    def _seconds(self) -> float:
        return self._clock.total() - self._aside_secs

    def _log_at(self, seconds: float, error: str = "") -> RunLog:
        return RunLog(
            recipe=self._request.recipe,
            task=self._request.task,
            seed=self._request.seed,
            startup_secs=self._startup_secs,
            total_secs=seconds,
            batches=tuple(self._batches),
            trials=tuple(self._trials),
            error=error,
        )


def _own_secs(status: Status, runner: Any) -> float:
    """The mean, by which MetaSchedule's database orders its records."""
    return statistics.fmean(map(float, runner.run_secs)) if status is Status.OK else math.inf


@derived_object
class AfterRound(PyMeasureCallback):  # type: ignore[misc]
    """Hands the results of a round on, after MetaSchedule's own callbacks."""

    def __init__(self, note: Callable[[Sequence[Any], Sequence[Any], Sequence[Any]], None]) -> None:
        super().__init__()
        self._note = note

    def apply(
        self,
        task_scheduler: Any,
        task_id: int,
        measure_candidates: Sequence[Any],
        builder_results: Sequence[Any],
        runner_results: Sequence[Any],
    ) -> None:
        """See TVM's `MeasureCallback`."""
        self._note(measure_candidates, builder_results, runner_results)
