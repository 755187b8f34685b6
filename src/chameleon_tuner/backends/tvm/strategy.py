"""Chameleon's search in TVM's own tuner: a strategy for `tune_tir` and `tune_relax`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.search_strategy import MeasureCandidate, PySearchStrategy

from chameleon_tuner.backends.tvm.network import single_task
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.loop import TaskSearch, proposed
from chameleon_tuner.search.recipes import resolve_recipe, task_search
from chameleon_tuner.search.schedule import Plan
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

# Messages of TVM's LocalBuilder and LocalRunner (builder/local_builder.py, runner/local_runner.py),
# and of their process pool (support/popen_pool.py).
_TIMEOUTS = ("LocalBuilder: Timeout", "LocalRunner: Timeout")
_DIED = "An exception occurred\nSubprocess terminated"


@derived_object
class ChameleonStrategy(PySearchStrategy):  # type: ignore[misc]  # TVM has no types
    """The search of a recipe, on MetaSchedule's spaces, builder, runner and database.

    The kernels of a network share their records, as in `chameleon tune`.

    >>> meta_schedule.tune_tir(
    ...     module, target, folder, 256, strategy=ChameleonStrategy()
    ... )  # doctest: +SKIP

    Args:
        recipe: Name of the recipe; see `chameleon_tuner.search.recipes`.
        seed: Seed of the search: the same seed and results give the same candidates.

    Raises:
        UsageError: There is no such recipe.
    """

    def __init__(self, recipe: str = "chameleon", seed: int = 0) -> None:
        super().__init__()
        self._recipe, self._seed = resolve_recipe(recipe), seed
        self._shared = SharedRecords()
        self._running: _Running | None = None

    def _initialize_with_tune_context(self, context: Any) -> None:
        self._context = context

    def pre_tuning(
        self,
        max_trials: int,
        num_trials_per_iter: int,
        design_spaces: Sequence[Any],
        database: Any = None,
        cost_model: Any = None,
    ) -> None:
        """See `SearchStrategy.pre_tuning` of MetaSchedule, whose cost model is not used."""
        context = self._context
        space = TracedSpace.of(
            context.mod, context.target, design_spaces, context.space_generator.postprocs
        )
        task = single_task(str(context.task_name), space)
        search = task_search(task, self._recipe, self._seed, self._shared)
        batch = min(num_trials_per_iter, self._recipe.batch)
        self._running = _Running(space, task, search, max_trials, batch)

    def post_tuning(self) -> None:
        """See `SearchStrategy.post_tuning` of MetaSchedule."""
        self._running = None

    def generate_measure_candidates(self) -> list[Any] | None:
        """See `SearchStrategy.generate_measure_candidates` of MetaSchedule."""
        return self._running.candidates() if self._running else None

    def notify_runner_results(
        self, measure_candidates: Sequence[Any], results: Sequence[Any]
    ) -> None:
        """See `SearchStrategy.notify_runner_results` of MetaSchedule."""
        if self._running:
            self._running.learn(results)

    def clone(self) -> ChameleonStrategy:
        """See `SearchStrategy.clone` of MetaSchedule: for another kernel of the network."""
        other = ChameleonStrategy(self._recipe.name, self._seed)
        other._inst._shared = self._shared  # what TVM wraps is the object of this class
        return other


class _Running:
    """The search of one kernel.

    Args:
        space: Its space.
        task: Its task.
        search: The state of the search.
        trials: The number of trials that are left.
        batch: The number of trials at once.
    """

    def __init__(
        self, space: TracedSpace, task: Task, search: TaskSearch, trials: int, batch: int
    ) -> None:
        self._space, self._task, self._search = space, task, search
        self._left, self._batch = trials, batch
        self._pending: list[tuple[Configuration, Configuration, str]] = []

    def candidates(self) -> list[Any] | None:
        """Return the next candidates; None where the trials or the space are used up.

        What TVM refuses is no candidate: the search learns it at once, and proposes again.
        """
        while self._left > 0 and len(self._search.history) < self._task.space.count:
            plan = Plan(self._task, min(self._batch, self._left))
            batch = proposed(plan, self._search, Stopwatch())
            if not batch.configurations:
                return None
            made = [self._candidate(configuration) for configuration in batch.configurations]
            found = [candidate for candidate in made if candidate is not None]
            self._left -= len(found)
            if found:
                return found
        return None

    def _candidate(self, asked: Configuration) -> Any:
        try:
            replayed = self._space.replay(asked)
        except RejectedError as error:
            self._add([Outcome(asked, asked, "", Status.REJECTED, message=str(error))])
            return None
        self._pending.append((replayed.configuration, asked, replayed.structural_hash))
        arguments = meta_schedule.arg_info.ArgInfo.from_entry_func(
            replayed.schedule.mod, remove_preproc=True
        )
        return MeasureCandidate(replayed.schedule, arguments)

    def learn(self, results: Sequence[Any]) -> None:
        """Take the results of the last candidates."""
        pending, self._pending = self._pending, []
        self._add([_outcome(*mine, result) for mine, result in zip(pending, results, strict=True)])

    def _add(self, outcomes: Sequence[Outcome]) -> None:
        self._search.history.extend(outcomes)
        self._search.explorer.observe(outcomes)


def _outcome(ran: Configuration, asked: Configuration, hash_: str, result: Any) -> Outcome:
    """Return a result of MetaSchedule's runner as an outcome."""
    message = str(result.error_msg or "")
    status = status_of(None, message or None)
    secs = tuple(map(float, result.run_secs or ())) if status is Status.OK else ()
    if status is Status.OK and not all(map(math.isfinite, secs)):
        status, secs = Status.RUN_ERROR, ()
    return Outcome(ran, asked, hash_, status, secs, message)


def status_of(build_error: str | None, run_error: str | None) -> Status:
    """Return how a measurement ended, from the messages of TVM's local builder and runner."""
    message = build_error or run_error
    if not message:
        return Status.OK
    if message.startswith(_TIMEOUTS):
        return Status.TIMEOUT
    if message.rstrip().endswith(_DIED):
        return Status.CRASHED
    return Status.BUILD_ERROR if build_error else Status.RUN_ERROR
