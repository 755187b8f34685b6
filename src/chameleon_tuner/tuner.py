"""From a model to a tuned library: everything around the loop."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.cost import prior
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.errors import NothingMeasuredError, UsageError
from chameleon_tuner.finish import Deployed, deploy, judge, record_environment, summarize
from chameleon_tuner.folder import RECORDS, check_folder, check_places, make_folder
from chameleon_tuner.history import History
from chameleon_tuner.loop import TaskSearch, search
from chameleon_tuner.machine import thread_environment, usable_cores
from chameleon_tuner.measure.local import LocalMeasurer
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.measure.timing import TimingPolicy
from chameleon_tuner.progress import Progress, Silent
from chameleon_tuner.recipes import Recipe, resolve_recipe, task_search
from chameleon_tuner.records import RecordStore, RunInfo
from chameleon_tuner.report.markdown import write_report
from chameleon_tuner.result import Result
from chameleon_tuner.schedule import Budget, GradientScheduler, parse_duration, trials_of
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task, by_kernel
from chameleon_tuner.winners import Verdict

if TYPE_CHECKING:
    from chameleon_tuner.tvm.prepare import Network

HANDLER = "chameleon_tuner.tvm.compare:ModelWorker"

FINISH_SECS, FINISH_SECS_A_KERNEL = 15.0, 1.5
"""Of a time budget for what follows the search: its last batch, the final comparisons, compiling
and comparing the model. ResNet-18 with its 20 kernels took 42 to 44 s on two cores of a Zen 3."""

START_SECS, START_SECS_A_KERNEL = 2.0, 0.2
"""What came before the search in the same runs. A machine that is slower there is slower in the
end: the same one took 1.4 times as long in both when it had busy neighbours."""

LEAST_SLOWNESS, MOST_SLOWNESS = 0.75, 2.0
"""A Zen 5 began in 0.67 of the time and finished in 0.7. What takes longer in the beginning is a
large model, or one that was not in the file cache."""

BUILDS_A_CORE, MOST_BUILDS = 4, 64
"""Before what was built is run. With fewer some cores are idle while another compiles the last;
with more the search learns from what runs too late."""

LEAST_SEARCH = 1 / 3
"""Of a time budget that is too small for both; the run then takes longer than it."""


@dataclass(frozen=True)
class Options:
    """What a run is asked for.

    Attributes:
        effort: preset of trials: quick, standard, full; by default standard, and with a time budget
            full. A search ends sooner where nothing is gained any more.
        trials: of all tasks together, in place of the preset's.
        time_budget: wall-clock of the whole run, such as `10m`, all of which is used.
        seed: of the search.
        recipe: see `chameleon_tuner.recipes`.
        explorer: in place of the recipe's.
        sampler: in place of the recipe's.
        target: `auto`, `cuda` or any TVM target.
        shapes: static shapes of inputs with open dimensions, by name.
        winograd: whether 3x3 convolutions of stride 1 may be computed by minimal filtering, where
            that is faster: it rounds otherwise, by 1e-5 of the largest output.
        separable: whether a depthwise convolution and the pointwise ones around it may be one
            kernel, where the images between them do not stay in the cache.
        handler: of the worker processes; tests inject faults here.
    """

    effort: str | None = None
    trials: int | None = None
    time_budget: str | None = None
    seed: int = 0
    recipe: str = "chameleon"
    explorer: str | None = None
    sampler: str | None = None
    target: str = "auto"
    shapes: Mapping[str, Sequence[int]] | None = None
    winograd: bool = True
    separable: bool = True
    handler: str = HANDLER

    def check(self) -> Recipe:
        """The recipe, once everything that needs no model is known to be right.

        Raises:
            UsageError: something is unknown or out of range.
        """
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"{self.trials} trials: ask for at least one")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: a seed is not negative")
        trials_of(self._preset, 1)
        if self.time_budget is not None:
            parse_duration(self.time_budget)
        return resolve_recipe(self.recipe, self.explorer, self.sampler)

    def budget(self, kernels: int, clock: Stopwatch) -> Budget:
        """The budget for a network of so many distinct kernels."""
        trials = self.trials if self.trials is not None else trials_of(self._preset, kernels)
        if self.time_budget is None:
            return Budget(trials)
        whole_secs = parse_duration(self.time_budget)
        finish_secs = FINISH_SECS + FINISH_SECS_A_KERNEL * kernels
        begun_secs, least_secs = clock.total(), LEAST_SEARCH * whole_secs
        slowness = begun_secs / (START_SECS + START_SECS_A_KERNEL * kernels)
        finish_slowly_secs = min(max(LEAST_SLOWNESS, slowness), MOST_SLOWNESS) * finish_secs
        left_secs = max(least_secs, whole_secs - finish_slowly_secs - begun_secs)
        search_secs = max(least_secs, whole_secs - finish_secs)
        return Budget(trials, time.monotonic() + left_secs, search_secs=search_secs)

    @property
    def _preset(self) -> str:
        return self.effort or ("full" if self.time_budget else "standard")


def builds_together(cores: int) -> int:
    """Candidates that are built before any of them is run."""
    return min(BUILDS_A_CORE * cores, MOST_BUILDS)


def tune(
    model: Any, out: str | Path, *, progress: Progress | None = None, **options: Any
) -> Result:
    """Tune a model for this machine.

    The same call with the same folder goes on where an interrupted one was, and measures nothing
    twice.

    Args:
        model: path of an ONNX file, a `torch.export.ExportedProgram`, a Relax `IRModule` or a
            TensorIR `PrimFunc` whose last argument is its output.
        out: folder of the result.
        progress: is told what happens.
        **options: see `Options`.

    Returns:
        The numbers of `summary.json`.

    Raises:
        ChameleonError: see its subclasses; nothing on disk has changed when the model, the
            target, an option or the folder is at fault.
    """
    return run(model, Path(out), Options(**options), progress or Silent(), Stopwatch())


def run(model: Any, out: Path, options: Options, progress: Progress, clock: Stopwatch) -> Result:
    """See `tune`; the command line brings a clock that counts from the start of the process."""
    recipe = options.check()
    check_places(model, out)
    threads = usable_cores()
    # The workers' process loads TVM while this one does.
    with WorkerPool(options.handler, threads, thread_environment(threads)) as pool:
        from chameleon_tuner.tvm import frontend, prepare  # loads TVM, a second

        target = prepare.open_target(options.target, threads)
        program = frontend.import_model(model, options.shapes)
        check_folder(out, program.digest)
        network = prepare.prepare(
            program, target, threads, separable=options.separable, winograd=options.winograd
        )
        make_folder(out)
        policy = TimingPolicy(apart_bytes=network.apart_bytes)
        local = LocalMeasurer(pool, policy, clock=clock)
        searches = _search(network, out, options, recipe, local, progress, clock)
        histories = {key: searched.history for key, searched in searches.items()}
        verdicts = _judge_all(network.tasks, histories, local, progress)
        deployed: Deployed = deploy(network, verdicts, out, pool, clock)
    result = summarize(network, histories, deployed, out, recipe.name, options.seed, clock)
    result.write()
    write_report(result)
    progress.done(result)
    return result


def _search(
    network: Network,
    out: Path,
    options: Options,
    recipe: Recipe,
    local: LocalMeasurer,
    progress: Progress,
    clock: Stopwatch,
) -> dict[str, TaskSearch]:
    settings = {
        "batch": recipe.batch,
        "prior": prior.revision(),
        "winograd": options.winograd,
        "separable": options.separable,
    }
    info = RunInfo(network.program.digest, recipe.name, options.seed, settings)
    shared = SharedRecords()
    searches = {task.key: task_search(task, recipe, options.seed, shared) for task in network.tasks}
    budget = options.budget(len(by_kernel(network.tasks)), clock)
    together = builds_together(network.threads)
    scheduler = GradientScheduler(network.tasks, budget, recipe.batch, together=together)
    with RecordStore.open(out / RECORDS) as store:
        environment = record_environment(network, local.policy)
        run_id = store.begin(info)
        measurer = Remembering(local, store, run_id, environment)
        local.known = measurer.known
        recorded = sum(store.count(run_id).values())
        progress.begin(network.program.name, network.tasks, scheduler, recorded)
        search(scheduler, searches, measurer, progress, clock)
    if all(searched.history.best is None for searched in searches.values()):
        raise NothingMeasuredError(_why_nothing(list(searches.values())))
    return searches


def _judge_all(
    tasks: Sequence[Task],
    histories: Mapping[str, History],
    local: LocalMeasurer,
    progress: Progress,
) -> dict[str, Verdict]:
    kernels, verdicts = by_kernel(tasks), {}
    progress.finishing(0, len(kernels))
    for key, verdict in judge(local, kernels, histories):
        verdicts[key] = verdict
        progress.finishing(len(verdicts), len(kernels))
    return verdicts


def _why_nothing(searches: Sequence[TaskSearch]) -> str:
    outcomes = [outcome for searched in searches for outcome in searched.history.outcomes]
    if not outcomes:
        return "nothing was measured: the budget ended before the first candidate; give it more"
    last = outcomes[-1]
    return (
        f"none of {len(outcomes)} candidates could be built and run; the last one: "
        f"{last.status.value}: {last.message}"
    )
