"""Runs of MetaSchedule, TVM's own tuner, unchanged, as logs for a comparison."""

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

from chameleon_tuner.backends.tvm.deploy.build import RECORDS, WORKLOADS
from chameleon_tuner.backends.tvm.rewrites.base import traced_space
from chameleon_tuner.backends.tvm.space.traces import TracedSpace, load_module
from chameleon_tuner.backends.tvm.strategy import ChameleonStrategy, status_of
from chameleon_tuner.core.configuration import Configuration, ForeignTrace
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.runlog import METASCHEDULE_BATCH, Checkpoint, RunLog, Trial
from chameleon_tuner.system.clock import Stopwatch

TRIALS_PER_ROUND = METASCHEDULE_BATCH

_JOBS_PER_CORE = 16
"""Maximum number of jobs per core in a parallel loop: `max_jobs_per_core` in TVM's CPU rules."""


@dataclass(frozen=True)
class PeerRequest:
    """A task for TVM's own tuner.

    Attributes:
        recipe: The label of this contestant in the comparison.
        task: Name of the task.
        module: TVM's JSON of the module, see `Task.module`.
        target: TVM's JSON of the target, see `Task.target`.
        seed: Seed of the search, see `search_seed`.
        trials: Maximum number of trials.
        budget_secs: Time on the run's clock, in seconds, after which no further round begins.
        ours: Whether `ChameleonStrategy` searches in place of MetaSchedule's own strategy.
    """

    recipe: str
    task: str
    module: str = field(repr=False)
    target: Mapping[str, Any] = field(repr=False)
    seed: int
    trials: int
    budget_secs: float = math.inf
    ours: bool = False


def tune(
    request: PeerRequest, folder: Path, clock: Stopwatch, keep: Callable[[RunLog], None]
) -> RunLog:
    """Tune a task with `tune_tir`, as any user of TVM does.

    Call this only once in a process, and only if the process has made no `TracedSpace` before. A
    `TracedSpace` keeps MetaSchedule from importing the tensor intrinsics of every target, for which
    its users have to wait. The time for converting candidates to configurations is not
    MetaSchedule's, and is left out of all seconds in the log.

    Args:
        request: The task and the limits of the search.
        folder: MetaSchedule's working directory, which must exist. An earlier database in it is
            deleted, because the search would start with its records.
        clock: The run's clock.
        keep: Receives the log so far after every round, in case the process is killed.

    Returns:
        The complete log. If MetaSchedule raised an exception, it is the log's `error`.
    """
    for name in (WORKLOADS, RECORDS):
        (folder / name).unlink(missing_ok=True)
    # MetaSchedule's console handler gets the level that its logger has at this point; its log files
    # still receive every message.
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
            strategy=ChameleonStrategy(seed=request.seed) if request.ours else "evolutionary",
            seed=search_seed(request.seed),
        )
    except Exception as failure:  # the trials before the failure count
        if not rounds.over:
            error = f"{type(failure).__name__}: {failure}".splitlines()[0]
    return rounds.log(error)


def search_seed(seed: int) -> int:
    """Return a seed that `tune_tir` accepts: it passes its seed to NumPy, which takes 32 bits."""
    return seed % 2**32


def counterpart(space: TracedSpace, schedule: Schedule) -> Configuration | None:
    """Return the configuration that makes the same module as a candidate of MetaSchedule.

    MetaSchedule's search also mutates the maximum number of jobs of a parallel loop
    (`MutateParallel`), for which the design space has no knob. About half of these candidates have
    the same module as with the default number of jobs, and so have a configuration.

    Returns:
        The configuration; None if no configuration makes the same module.
    """
    found = space.configuration_of(schedule.trace)
    if found is None:
        found = space.configuration_of(_with_all_jobs(schedule.trace, space.target))
        if found and space.replay(found).structural_hash != shash2hex(schedule.mod):
            return None
    return found


def foreign(schedule: Schedule) -> ForeignTrace:
    """Return the trace of a candidate without a configuration, for rebuilding it."""
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
    """The end of the time budget, raised to end the tuning: MetaSchedule has no such budget."""


class _Rounds:
    """The growing log of a run, and its clock, which leaves out the time spent on the log.

    Attributes:
        over: Whether the time budget ended the tuning.
    """

    def __init__(
        self, request: PeerRequest, clock: Stopwatch, keep: Callable[[RunLog], None]
    ) -> None:
        self._request, self._clock, self._keep = request, clock, keep
        self._space: TracedSpace | None = None
        self._aside_secs = 0.0
        self._startup_secs = clock.total()
        self._batches: list[Checkpoint] = []
        self._trials: list[Trial] = []
        self.over = False

    def note(self, candidates: Sequence[Any], built: Sequence[Any], run: Sequence[Any]) -> None:
        """Log a round; the arguments are MetaSchedule's, with one entry per candidate.

        Args:
            candidates: The `MeasureCandidate`s of the round.
            built: Their `BuilderResult`s.
            run: Their `RunnerResult`s.

        Raises:
            _BudgetSpentError: The time budget is spent.
        """
        ended = self._seconds()
        if self._space is None:  # not before MetaSchedule's own imports, see `tune`
            self._space = traced_space(self._request.module, self._request.target)
        for candidate, builder, runner in zip(candidates, built, run, strict=True):
            found = counterpart(self._space, candidate.sch)
            status = status_of(builder.error_msg, runner.error_msg)
            own_secs = _own_secs(status, runner)
            trace = None if found else foreign(candidate.sch)
            self._trials.append(Trial(found, status, own_secs, trace=trace))
        self._batches.append(Checkpoint(ended, len(self._trials)))
        self._keep(self._log_at(ended))
        self._aside_secs += self._seconds() - ended
        if ended >= self._request.budget_secs:
            self.over = True
            raise _BudgetSpentError

    def log(self, error: str) -> RunLog:
        """Return the log up to now."""
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
    """Return the mean of the runs, by which MetaSchedule's database orders its records."""
    return statistics.fmean(map(float, runner.run_secs)) if status is Status.OK else math.inf


@derived_object
class AfterRound(PyMeasureCallback):  # type: ignore[misc]
    """A callback that passes the results of every round on, after MetaSchedule's own callbacks.

    Args:
        note: Receives the candidates of a round, their builder results and their runner results.
    """

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
        """See `MeasureCallback.apply` of MetaSchedule."""
        self._note(measure_candidates, builder_results, runner_results)
