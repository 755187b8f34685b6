"""A recipe of this project on one task, noted down as a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare.runlog import Batch, RunLog, Trial
from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.explore.base import Candidates, Explorer
from chameleon_tuner.history import History
from chameleon_tuner.loop import TaskSearch, search
from chameleon_tuner.measure.base import Measurer
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.recipes import Recipe, task_search
from chameleon_tuner.schedule import Budget, GradientScheduler
from chameleon_tuner.schedule.gradient import ScheduleParameters
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task

TO_THE_END = ScheduleParameters(patience=2**31)
"""Whoever is compared at equal budgets uses all of it: no task is done at a plateau."""


@dataclass(frozen=True)
class Terms:
    """What a run is given, the same for every recipe.

    Attributes:
        label: of the recipe in the comparison.
        seed: of the search.
        trials: most candidates measured.
        budget_secs: of the run's clock; infinite where only trials count. The last batch may end
            after it.
    """

    label: str
    seed: int
    trials: int
    budget_secs: float = math.inf


Keep = Callable[[RunLog], None]
"""Is given the log so far after every batch, for what becomes of it when the run is killed."""


def searched(
    task: Task, recipe: Recipe, terms: Terms, measurer: Measurer, clock: Stopwatch, keep: Keep
) -> RunLog:
    """Search a task as the recipe says, and note when what was found."""
    mine = task_search(task, recipe, terms.seed, SharedRecords())
    mine.explorer = counting = CountingExplorer(mine.explorer)
    budget = Budget(terms.trials, terms.budget_secs, clock.total)
    scheduler = GradientScheduler([task], budget, recipe.batch, TO_THE_END)
    notes = _Notes(task.name, terms, clock, counting, keep)
    search(scheduler, {task.key: mine}, measurer, notes, clock)
    return notes.log()


class CountingExplorer:
    """Another explorer, and how many steps it took.

    Attributes:
        steps: so far.
    """

    def __init__(self, explorer: Explorer) -> None:
        self._explorer, self.steps = explorer, 0

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`."""
        candidates = self._explorer.propose(space, model, history, rng)
        self.steps += candidates.steps
        return candidates

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """See `Explorer.observe`."""
        self._explorer.observe(outcomes)


class _Notes:
    """The observer that writes the log."""

    def __init__(
        self, task: str, terms: Terms, clock: Stopwatch, counting: CountingExplorer, keep: Keep
    ) -> None:
        self._task, self._terms, self._clock = task, terms, clock
        self._counting, self._keep = counting, keep
        self._startup_secs = clock.total()
        self._batches: list[Batch] = []
        self._trials: list[Trial] = []

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        self._trials += [
            Trial(o.configuration, o.status, o.seconds, o.build_secs, o.run_secs) for o in outcomes
        ]
        self._batches.append(Batch(self._clock.total(), len(self._trials), self._counting.steps))
        self._keep(self.log())

    def log(self) -> RunLog:
        """So far."""
        return RunLog(
            self._terms.label,
            self._task,
            self._terms.seed,
            self._startup_secs,
            self._clock.total(),
            self._clock.seconds(),
            tuple(self._batches),
            tuple(self._trials),
        )
