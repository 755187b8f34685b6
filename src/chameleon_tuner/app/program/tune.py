"""From a specification to the fastest configuration of a program: reference, search, final."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chameleon_tuner.app.folder import RunRecords, check_folder
from chameleon_tuner.app.judge import Judgement, Verdict, finalists_of
from chameleon_tuner.app.options import parse_size
from chameleon_tuner.app.program.default import default_times, measured_default
from chameleon_tuner.app.program.final import decided
from chameleon_tuner.app.program.options import LEAST_SEARCH, ProgramOptions
from chameleon_tuner.app.program.result import result_of
from chameleon_tuner.app.program.run import BEST, REFERENCE, SCRATCH, ProgramRun
from chameleon_tuner.backends.program.handler import HANDLER, DefaultTimes, Install
from chameleon_tuner.backends.program.learned import Places
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.reading import read_spec
from chameleon_tuner.backends.program.spec import LEAST_RUN_SECS, RUN_TIMES, Spec
from chameleon_tuner.core.errors import (
    NothingMeasuredError,
    OutputError,
    ProgramError,
    UsageError,
)
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.measure.local.judge import LocalJudge
from chameleon_tuner.measure.local.limits import Timeouts
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.ports.handler import Failed
from chameleon_tuner.ports.judge import Final
from chameleon_tuner.ports.measurer import TimingPolicy
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.program import ProgramLines, ProgramResult, told
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import TaskSearch, search
from chameleon_tuner.search.recipes import task_search
from chameleon_tuner.search.schedule import GradientScheduler
from chameleon_tuner.space import values_at
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.files import RECORDS, make_folder
from chameleon_tuner.system.machine import require_linux, usable_cores

POLICY = TimingPolicy(
    slow_factor=1.1,
    hopeless_factor=1.5,
    sample_secs=1e-9,
    min_samples=3,
    max_samples=5,
    relative_error=0.02,
    budget_secs=2.0,
)
"""How candidates are timed: a sample is one run of the program. One that takes long is run twice,
one whose first run takes 1.5 times as long as the fastest once."""

FINALISTS, ROUNDS, ROUND_SECS = 4, 7, 0.1
"""Candidates that are timed again, beside the default configuration, in how many rounds, and the
seconds of a round of each, which is at least one run."""

RIVAL = 2.0
"""Candidates slower than this multiple of the fastest are not finalists. It is generous: on a busy
machine the one whose timing was lucky would be the only finalist."""

BATCHES = 8
"""Least number of batches of a search with a time budget, so that it ends in time and learns."""


def tune_program(
    spec: str | Path,
    out: str | Path,
    options: ProgramOptions | None = None,
    shown: ProgramLines | None = None,
    clock: Stopwatch | None = None,
) -> ProgramResult:
    """Find the fastest configuration of a program.

    The same call with the same folder goes on where an interrupted one was, and measures nothing
    twice.

    Args:
        spec: Path of the specification, a TOML file; see docs/program.md.
        out: Folder of the result.
        options: What is asked for.
        shown: Is told what happens.
        clock: Clock of the run.

    Returns:
        The numbers of `summary.json`.

    Raises:
        ChameleonError: See its subclasses. Nothing on disk has changed when the specification, an
            option, the default configuration or the folder is at fault.
    """
    require_linux()
    options, clock, out = options or ProgramOptions(), clock or Stopwatch(), Path(out)
    recipe = options.check()
    project = ProgramProject(read_spec(spec), out)
    _ = project.space  # what is wrong with it is told before anything starts
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; give --out a folder")
    check_folder(out, project.digest, "another program, or of this one before a file was changed")
    cores = usable_cores()
    shown = shown or ProgramLines(None, clock)
    with WorkerPool(HANDLER, cores, {}, _limits(project.spec, cores)) as pool:
        this = ProgramRun(project, out, options, recipe, pool, shown, clock, MachineLock())
        default = None if _begun(out) else measured_default(this)
        make_folder(out)
        with RecordStore.open(out / RECORDS) as store, _scratch(out) as scratch:
            records = RunRecords(store, store.begin(this.info), project.environment)
            times = default_times(this, records, default)
            limit_secs = project.spec.limits.run_secs or max(
                LEAST_RUN_SECS, RUN_TIMES * max(times.wall_secs)
            )
            places = Places(
                str(project.spec.folder), str(scratch), str(out.resolve() / REFERENCE), limit_secs
            )
            result = _tuned(this, project.task(places), places, times, records)
    result.write()
    return result


def _limits(spec: Spec, workers: int) -> WorkerLimits:
    limits = WorkerLimits.of_machine(workers)
    if not spec.limits.memory:
        return limits
    try:
        return WorkerLimits(parse_size(spec.limits.memory), limits.recycle_bytes)
    except UsageError as error:
        raise ProgramError(f"limits.memory: {error}") from None


def _begun(out: Path) -> bool:
    return (out / RECORDS).exists() and (out / REFERENCE).exists()


@contextlib.contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Yield an empty folder for the folders of candidates, which is removed at the end."""
    folder = out.resolve() / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- search and final


def _tuned(
    run: ProgramRun, task: Task, places: Places, times: DefaultTimes, records: RunRecords
) -> ProgramResult:
    limits = run.spec.limits
    each_secs = places.run_secs * (2 if run.spec.check.command else 1) + 10
    everybody = FINALISTS + 1
    timeouts = Timeouts(
        compile=limits.compile_secs + 10,
        compile_times=math.inf,
        run=each_secs * (POLICY.max_samples + 2),
        judge=everybody * max(limits.compile_secs, (ROUNDS + 1) * (each_secs + ROUND_SECS)),
    )
    most = affordable_finalists(run.options.total_secs, times)
    history = _searched(run, task, times, timeouts, records, most)
    final = Final(task, finalists_of([task], {task.key: history}, most, RIVAL))
    run.shown.doing(f"timing the fastest {len(final.finalists)} again, in turns with the default")
    judge = LocalJudge(
        run.pool, 0, timeouts, run.lock, run.clock, rounds=ROUNDS, round_secs=ROUND_SECS
    )
    judged = next(judge.judge([final], 0.0))
    records.add_final(Judgement(final, judged), {task.key: history})
    if isinstance(judged, Failed):
        raise NothingMeasuredError(f"the final comparison failed: {judged.told}")
    verdict = decided(final.finalists, judged)
    return result_of(run, task, history, final, judged, _installed(run, task, verdict, places))


def affordable_finalists(total_secs: float, times: DefaultTimes) -> int:
    """Return the number of finalists for which a run has the time, at least one.

    Args:
        total_secs: Seconds that the whole run may take; infinite without a time budget.
        times: What the default configuration takes.
    """
    left_secs = (1 - LEAST_SEARCH) * total_secs - _final_secs(times)
    return int(max(1, min(FINALISTS, left_secs // _final_secs(times))))


def _final_secs(times: DefaultTimes) -> float:
    """Return an estimate of the seconds that the final comparison takes for each contender."""
    return times.build_secs + (ROUNDS + 1) * max(ROUND_SECS, *times.wall_secs)


def _searched(
    run: ProgramRun,
    task: Task,
    times: DefaultTimes,
    timeouts: Timeouts,
    records: RunRecords,
    finalists: int,
) -> History:
    after_secs = (finalists + 1) * _final_secs(times)
    budget = run.options.budget(run.clock.total(), after_secs)
    budget = replace(budget, trials=min(budget.trials, task.space.count))
    trial_secs = times.build_secs / run.pool.size + 3 * max(times.wall_secs)
    batch = run.recipe.batch
    if budget.timed:
        batch = max(1, min(batch, int(budget.search_secs / (BATCHES * trial_secs))))
    scheduler = GradientScheduler([task], budget, batch)
    searched = task_search(task, run.recipe, run.options.seed, SharedRecords())
    local = LocalMeasurer(run.pool, POLICY, timeouts, lock=run.lock, clock=run.clock)
    measurer = Remembering(local, records.store, records.run_id, records.environment)
    local.known = measurer.known
    recorded = sum(records.store.count(records.run_id).values())
    run.shown.begin(task.space.count, None if budget.timed else budget.trials, recorded)
    observer = _Observer(run)
    search(scheduler, {task.key: searched}, measurer, observer, run.clock)
    if searched.history.best is None:
        raise NothingMeasuredError(_why_nothing(searched.history.outcomes))
    return searched.history


@dataclass(frozen=True)
class _Observer:
    """Shows every batch; implements `search.loop.Observer`."""

    run: ProgramRun

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        best = search.history.best
        parameters = told(values_at(task.space, best.configuration)) if best else ""
        self.run.shown.batch(outcomes, best, parameters)


def _why_nothing(outcomes: Sequence[Outcome]) -> str:
    last = outcomes[-1] if outcomes else None
    why = f"; the last one: {last.status.value}: {last.message}" if last else ""
    return f"none of {len(outcomes)} candidates could be built, run and checked{why}"


def _installed(run: ProgramRun, task: Task, verdict: Verdict, places: Places) -> Verdict:
    """Build the winner into the folder and run it there; where that fails, the default stays."""
    folder = str(run.out.resolve() / BEST)
    secs = run.spec.limits.compile_secs + 2 * places.run_secs + 60
    if verdict.winner is not None:
        try:
            run.ask(task, Install(task.key, verdict.winner.configuration, folder), secs)
        except Failed as failure:
            reason = f"the winner failed when it was built again: {failure.told}"
            refused, secs = (*verdict.refused, reason), verdict.untuned_secs
            verdict = replace(verdict, winner=None, best_secs=secs, refused=refused)
    if verdict.winner is None:
        try:
            run.ask(task, Install(task.key, None, folder), secs)
        except Failed as failure:
            raise NothingMeasuredError(
                f"the default configuration ran before, and fails now: {failure.told}"
            ) from None
    return verdict
