"""The search of one task by a recipe of this project, logged as a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.measurer import Measurer
from chameleon_tuner.ports.runlog import Checkpoint, RunLog, Trial
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.explore.base import Candidates, Explorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import TaskSearch, search
from chameleon_tuner.search.recipes import Recipe, task_search
from chameleon_tuner.search.schedule import Budget, GradientScheduler, ScheduleParameters
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

TO_THE_END = ScheduleParameters(patience=2**31)
"""Schedule parameters with which no search ends at a plateau.

A comparison at equal budgets requires that every run uses its whole budget."""


@dataclass(frozen=True)
class Terms:
    """The terms of a run: its label, seed and budgets.

    Attributes:
        label: Label of the recipe in the comparison.
        seed: Seed of the search.
        trials: Maximum number of trials.
        budget_secs: Time budget on the run's clock; infinite if runs are limited by trials only.
            The last batch may end after it.
    """

    label: str
    seed: int
    trials: int
    budget_secs: float = math.inf


Keep = Callable[[RunLog], None]
"""A function that receives the log so far after every batch, in case the run is killed."""


def searched(
    task: Task, recipe: Recipe, terms: Terms, measurer: Measurer, clock: Stopwatch, keep: Keep
) -> RunLog:
    """Search a task by a recipe, and log every batch with its time.

    Args:
        task: Task to search.
        recipe: Recipe of the search.
        terms: Seed and budgets of the run.
        measurer: Measures the candidates.
        clock: Clock of the run.
        keep: Receives the log so far after every batch.

    Returns:
        The complete log.
    """
    mine = task_search(task, recipe, terms.seed, SharedRecords())
    mine.explorer = counting = CountingExplorer(mine.explorer)
    budget = Budget(terms.trials, terms.budget_secs, clock.total)
    scheduler = GradientScheduler([task], budget, recipe.batch, TO_THE_END)
    notes = _Notes(task.name, terms, clock, counting, keep)
    search(scheduler, {task.key: mine}, measurer, notes, clock)
    return notes.log()


class CountingExplorer:
    """An explorer that delegates to another one and counts its steps.

    Attributes:
        steps: Number of steps so far.
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
    """The observer of the search that builds the log."""

    def __init__(
        self, task: str, terms: Terms, clock: Stopwatch, counting: CountingExplorer, keep: Keep
    ) -> None:
        self._task, self._terms, self._clock = task, terms, clock
        self._counting, self._keep = counting, keep
        self._startup_secs = clock.total()
        self._batches: list[Checkpoint] = []
        self._trials: list[Trial] = []

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        self._trials += [
            Trial(o.configuration, o.status, o.seconds, o.build_secs, o.run_secs) for o in outcomes
        ]
        self._batches.append(
            Checkpoint(self._clock.total(), len(self._trials), self._counting.steps)
        )
        self._keep(self.log())

    def log(self) -> RunLog:
        """Return the log so far."""
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
