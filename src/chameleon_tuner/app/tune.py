"""From a model to a tuned library: prepare, search, judge, deploy."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from chameleon_tuner.app import calibration
from chameleon_tuner.app.defaults import time_defaults, with_estimates
from chameleon_tuner.app.deploy import Deployer, Deployment
from chameleon_tuner.app.folder import RunRecords, check_folder, check_places
from chameleon_tuner.app.judge import Judgement, Verdict, judge_all
from chameleon_tuner.app.options import Options, load_samples
from chameleon_tuner.app.progress import Progress, Silent
from chameleon_tuner.app.rehearsing import rehearse
from chameleon_tuner.app.sharing import Sharing, known_of, open_sharing
from chameleon_tuner.app.summary import summarize
from chameleon_tuner.app.warm import Giving, begun, recall, show
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.core.errors import NothingMeasuredError
from chameleon_tuner.core.shapes import GivenShapes
from chameleon_tuner.measure.local.designer import LocalDesigner
from chameleon_tuner.measure.local.judge import LocalJudge
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.ports.backend import Backend, ModelSource, Project
from chameleon_tuner.ports.handler import TuningHandler
from chameleon_tuner.ports.measurer import TimingPolicy
from chameleon_tuner.ports.records import RunInfo, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.page import try_to_write_page
from chameleon_tuner.report.result import Result
from chameleon_tuner.report.run import write_report
from chameleon_tuner.search.cost import prior
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import search
from chameleon_tuner.search.recipes import Recipe
from chameleon_tuner.search.schedule import INSTANT, GradientScheduler
from chameleon_tuner.space.task import by_kernel
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.files import RECORDS, make_folder
from chameleon_tuner.system.machine import require_linux, thread_environment, usable_cores

DEFAULT_BACKEND = "tvm"

BUILDS_A_CORE, MOST_BUILDS = 4, 64
"""Candidates that are built before any of them is run: 4 a core, at most 64. With fewer some cores
are idle while another compiles the last one; with more the search learns too late."""


DEFAULTS = 1 / 6
"""Most of the time for the search that is for timing default schedules."""

DEFAULT_ROUND_SECS = 0.01
"""Seconds that a default schedule is timed for before the search."""

LEAST_FINALS = 1 / 6
"""Least share of a time budget for the final comparisons, the heaviest kernels first."""


@dataclass(frozen=True)
class Run:
    """A run in progress: what its stages share.

    Attributes:
        out: The folder of the run.
        options: What was asked for.
        recipe: How tasks are searched.
        backend: Makes tasks and libraries.
        pool: Worker processes of the backend.
        progress: Is told what happens.
        clock: The clock of the run.
    """

    out: Path
    options: Options
    recipe: Recipe
    backend: Backend[Any]
    pool: WorkerPool[TuningHandler]
    progress: Progress
    clock: Stopwatch


@dataclass(frozen=True)
class Prepared:
    """A model whose tasks are known, and whose folder exists."""

    source: ModelSource
    project: Project
    begun_secs: float


Histories = Mapping[str, History]
Verdicts = Mapping[str, Verdict]


@dataclass(frozen=True)
class Searched:
    """The end of a search.

    Attributes:
        histories: What was measured, by key of the task.
        ended_secs: When it ended on the clock of the run, or when it had to, if it took longer.
        defaults: Seconds of kernels with their default schedules, by key of the kernel; they are
            measured where the time is limited.
    """

    histories: Histories
    ended_secs: float
    defaults: Mapping[str, float] = field(default_factory=dict)


def prepare(run: Run, model: Any) -> Prepared:
    """Read the model, check the folder, and make tasks; nothing on disk changes before that.

    Raises:
        ChameleonError: The model, the target or the folder is at fault.
    """
    options, samples = run.options, load_samples(run.options.inputs)
    shapes = _shapes(model, samples, options.shapes or {})
    rehearsal = run.backend.rehearsal(model, options.target, shapes)
    if rehearsal is not None:
        with ThreadPoolExecutor(max_workers=1) as executor:
            loading = executor.submit(run.backend.load)  # while a worker tries the import
            rehearse(rehearsal, run.pool)
            loading.result()
    source = run.backend.read(model, options.target, shapes, samples=samples, rehearsal=rehearsal)
    check_folder(run.out, source.digest)
    project = run.backend.prepare(source, run.options.without, LocalDesigner(run.pool))
    make_folder(run.out)
    return Prepared(source, project, run.clock.total())


def _shapes(model: Any, samples: Mapping[str, Any], given: GivenShapes) -> GivenShapes:
    """Return the shapes that are given, and those of samples where a model may leave them open."""
    of_samples = {name: array.shape for name, array in samples.items()}
    return {**of_samples, **given} if isinstance(model, str | Path) else given


def search_tasks(run: Run, prepared: Prepared, records: RunRecords) -> Searched:
    """Search the tasks until the budget is spent.

    Args:
        run: The run.
        prepared: The model.
        records: Answers what was measured before, and receives what is measured.

    Returns:
        What was measured, and when the time for it was up.

    Raises:
        NothingMeasuredError: No candidate could be built and run, of those that were tried.
        MeasurementError: No more measuring is possible.
    """
    project, known = prepared.project, records.known
    if not project.tasks:  # nothing to tune: what runs the model today will be deployed
        return Searched({}, run.clock.total())
    instant = run.options.effort == INSTANT
    searches = begun(project.tasks, run.recipe, run.options.seed, known, instant=instant)
    kernels = len(by_kernel(project.tasks))
    kind, begin_secs = _kind(project), run.clock.total()
    timed = run.options.time_budget is not None
    here = calibration.measured(kind) if timed else calibration.Calibration()
    shares = len(project.tasks) if instant else kernels
    asked = run.options.budget(shares, prepared.begun_secs, here, begin_secs)
    budget = known.budget(asked, len(project.tasks))
    deadline_secs = begin_secs + budget.deadline - time.monotonic()
    together = builds_together(project.threads)
    defaults = records.defaults() if timed else {}  # a resumed search takes the same path with them
    if timed and not defaults:
        defaults = _defaults(run, project, deadline_secs)
        records.add_defaults(defaults)
    scheduler = GradientScheduler(
        project.tasks,
        budget,
        run.recipe.batch,
        together=together,
        defaults=with_estimates(defaults, by_kernel(project.tasks)),
    )
    recall(known, searches, scheduler)
    policy = TimingPolicy(apart_bytes=project.apart_bytes)
    local = LocalMeasurer(run.pool, policy, clock=run.clock)
    measurer = Remembering(local, records.store, records.run_id, records.environment)
    local.known = measurer.known
    recorded = sum(records.store.count(records.run_id).values()) + known.trials
    run.progress.begin(prepared.source.name, project.tasks, scheduler, recorded)
    show(project.tasks, known, searches, run.progress)
    search(scheduler, searches, measurer, Giving(run.progress, records.share), run.clock)
    histories = {key: searched.history for key, searched in searches.items()}
    tried = any(len(history.outcomes) for history in histories.values())
    if tried and all(history.best is None for history in histories.values()):
        raise NothingMeasuredError(_why_nothing(histories))
    return Searched(histories, min(deadline_secs, run.clock.total()), defaults)


def _defaults(run: Run, project: Project, deadline_secs: float) -> dict[str, float]:
    """Time default schedules in a small part of the time until the end of the search."""
    now_secs = run.clock.total()
    until_secs = now_secs + DEFAULTS * (deadline_secs - now_secs)
    judge = LocalJudge(
        run.pool, project.apart_bytes, clock=run.clock, rounds=1, round_secs=DEFAULT_ROUND_SECS
    )
    kernels = by_kernel(project.tasks)
    return time_defaults(judge, kernels, lambda: run.clock.total() > until_secs)


def judge_kernels(
    run: Run, prepared: Prepared, searched: Searched, records: RunRecords
) -> Verdicts:
    """Compare the fastest candidates of every kernel with the untuned kernel.

    Args:
        run: The run.
        prepared: The model.
        searched: What was measured.
        records: Receives all timings.

    Returns:
        Verdicts by key of the kernel.
    """
    kernels, verdicts = by_kernel(prepared.project.tasks), {}
    histories = searched.histories
    judge = LocalJudge(run.pool, prepared.project.apart_bytes, clock=run.clock)

    def record(judgement: Judgement) -> None:
        records.add_final(judgement, histories)

    total_secs, now_secs = run.options.total_secs, run.clock.total()
    until_secs = max(
        total_secs - calibration.deploy_secs(len(kernels)), now_secs + LEAST_FINALS * total_secs
    )

    def out_of_time() -> bool:
        return run.clock.total() > until_secs

    run.progress.finishing(0, len(kernels))
    for key, verdict in judge_all(
        judge,
        kernels,
        histories,
        record,
        searched.defaults,
        out_of_time,
        records.known.settled(kernels, histories),
        briefly=run.options.effort == INSTANT,
    ):
        verdicts[key] = verdict
        run.progress.finishing(len(verdicts), len(kernels))
    return verdicts


def deploy_winners(
    run: Run, prepared: Prepared, verdicts: Verdicts, records: RunRecords
) -> Deployment:
    """Build the library of the winners and compare it as a whole.

    Args:
        run: The run.
        prepared: The model.
        verdicts: Verdicts by key of the kernel.
        records: Receives all timings.

    Returns:
        What is deployed.
    """
    project, record = prepared.project, records.add_comparison
    return Deployer(project, run.out, run.pool, run.clock, record).deploy(verdicts)


@dataclass(frozen=True)
class Stages:
    """The stages of a run, each of which can be replaced."""

    prepare: Callable[[Run, Any], Prepared] = prepare
    search: Callable[[Run, Prepared, RunRecords], Searched] = search_tasks
    judge: Callable[[Run, Prepared, Searched, RunRecords], Verdicts] = judge_kernels
    deploy: Callable[[Run, Prepared, Verdicts, RunRecords], Deployment] = deploy_winners


def tune(
    model: Any,
    out: str | Path,
    *,
    example_inputs: Sequence[Any] | None = None,
    progress: Progress | None = None,
    backend: Backend[Any] | None = None,
    **options: Any,
) -> Result:
    """Tune a model for this machine.

    The same call with the same folder goes on where an interrupted one was, and measures nothing
    twice.

    Args:
        model: Path of an ONNX file or of one of `torch.export.save`, a
            `torch.export.ExportedProgram`, a PyTorch module, a Relax `IRModule` or a TensorIR
            `PrimFunc` whose last argument is its output.
        out: Folder of the result.
        example_inputs: Arguments of a PyTorch module, with tensors of the shapes to tune for.
        progress: Is told what happens.
        backend: Makes tasks and libraries; TVM by default.
        **options: See `Options`; an algorithm is left out by its name as well, as in `NAME=False`.

    Returns:
        The numbers of `summary.json`.

    Raises:
        ChameleonError: See its subclasses. Nothing on disk has changed when the model, the target,
            an option or the folder is at fault.
    """
    backend = backend or TVMBackend()
    chosen = by_name(options, [algorithm.name for algorithm in backend.algorithms])
    if example_inputs is not None:
        from chameleon_tuner.backends.tvm.frontend.exported import program_of

        model = program_of(model, example_inputs)
    return run(model, Path(out), Options(**chosen), progress or Silent(), Stopwatch(), backend)


def run(
    model: Any,
    out: Path,
    options: Options,
    progress: Progress,
    clock: Stopwatch,
    backend: Backend[Any] | None = None,
    stages: Stages | None = None,
) -> Result:
    """Tune a model; see `tune`.

    Args:
        model: See `tune`.
        out: Folder of the result.
        options: What is asked for.
        progress: Is told what happens.
        clock: Clock of the run; the command line's counts from the start of the process.
        backend: Makes tasks and libraries; TVM by default.
        stages: The stages, where some are replaced.

    Returns:
        The numbers of `summary.json`.
    """
    require_linux()
    backend, stages = backend or TVMBackend(), stages or Stages()
    recipe = options.check([algorithm.name for algorithm in backend.algorithms])
    check_places(model, out)
    threads = usable_cores()
    limits, environment = options.worker_limits(threads), thread_environment(threads)
    # The workers' process loads the backend while this one does.
    pool = WorkerPool(backend.handler, threads, environment, limits)
    with pool, open_sharing(options.store) as sharing:
        this = Run(out, options, recipe, backend, pool, progress, clock)
        prepared = stages.prepare(this, model)
        with RecordStore.open(out / RECORDS) as store:
            records = _begun(store, _info(this, prepared), prepared.project, sharing)
            searched, deployment = _tuned(this, prepared, records, stages)
            if deployment.mended is not None:  # some operators are left to another runtime
                prepared = replace(prepared, project=deployment.mended)
                searched, deployment = _tuned(this, prepared, records, stages)
            sharing.finish(store, _info(this, prepared))
    project, name = prepared.project, prepared.source.name
    histories, seed = searched.histories, options.seed
    result = summarize(name, project, histories, deployment, out, recipe.name, seed, clock)
    result = replace(result, store=sharing.told(records.known))
    result.write()
    write_report(result, project.usage(out))
    try_to_write_page(result)
    judged = all(verdict.judged for verdict in deployment.verdicts.values())
    if options.time_budget is not None and clock.from_process_start and judged:
        after_secs, kernels = clock.total() - searched.ended_secs, len(by_kernel(project.tasks))
        calibration.observe(_kind(project), kernels, prepared.begun_secs, after_secs)
    progress.done(result)
    return result


def _begun(store: RecordStore, info: RunInfo, project: Project, sharing: Sharing) -> RunRecords:
    """Begin a run, or go on with it, and find what is known before it."""
    environment, workloads = project.environment, [Workload.of(task) for task in project.tasks]
    run_id = store.begin(info)
    past = sharing.begin(store, info, workloads, environment)
    known = known_of(past, project.tasks, environment)
    return RunRecords(store, run_id, environment, known, partial(sharing.give, store, run_id))


def _tuned(
    run: Run, prepared: Prepared, records: RunRecords, stages: Stages
) -> tuple[Searched, Deployment]:
    """Search, judge and deploy; what was measured before is recalled."""
    searched = stages.search(run, prepared, records)
    verdicts = stages.judge(run, prepared, searched, records)
    return searched, stages.deploy(run, prepared, verdicts, records)


def builds_together(cores: int) -> int:
    """Return the number of candidates that are built before any of them is run."""
    return min(BUILDS_A_CORE * cores, MOST_BUILDS)


def by_name(options: Mapping[str, Any], algorithms: list[str]) -> dict[str, Any]:
    """Return options in which `without` stands for `name=False` of algorithms.

    Args:
        options: Options, some of which may be names of algorithms.
        algorithms: Names of the algorithms.
    """
    named = {name: wanted for name, wanted in options.items() if name in algorithms}
    left_out = [name for name, wanted in named.items() if not wanted]
    others = {name: value for name, value in options.items() if name not in named}
    return {**others, "without": (*others.get("without", ()), *left_out)}


def _info(run: Run, prepared: Prepared) -> RunInfo:
    """Return what makes another command the same run, which it then resumes."""
    algorithms = (algorithm.name for algorithm in run.backend.algorithms)
    settings: dict[str, Any] = {
        "batch": run.recipe.batch,
        "prior": prior.revision(),
        **{name: name not in run.options.without for name in algorithms},
    }
    if run.backend.name != DEFAULT_BACKEND:  # the runs of earlier versions do not name theirs
        settings["backend"] = run.backend.name
    return RunInfo(prepared.source.digest, run.recipe.name, run.options.seed, settings)


def _kind(project: Project) -> str:
    """Return the kind of a project's target, such as `llvm`."""
    return str(project.target.get("kind", ""))


def _why_nothing(histories: Histories) -> str:
    outcomes = [outcome for history in histories.values() for outcome in history.outcomes]
    last = outcomes[-1]
    return (
        f"none of {len(outcomes)} candidates could be built and run; the last one: "
        f"{last.status.value}: {last.message}"
    )
