"""Searches that begin with what is known: of their own tasks, and of similar ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.app.progress import Progress
from chameleon_tuner.app.sharing import Known
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.loop import Observer, TaskSearch
from chameleon_tuner.search.recipes import Recipe, task_search
from chameleon_tuner.search.sample.baselines import GreedySampler
from chameleon_tuner.search.schedule import GradientScheduler
from chameleon_tuner.space.task import Task


def begun(
    tasks: Sequence[Task], recipe: Recipe, seed: int, known: Known, *, instant: bool
) -> dict[str, TaskSearch]:
    """Begin the searches of a network's tasks, with what is known in their histories.

    Args:
        tasks: The tasks.
        recipe: How they are searched.
        seed: Seed of the searches.
        known: What was measured of the tasks, and of their relatives, from which they learn.
        instant: Whether only the first candidates count. Where there are relatives the cost model
            chooses all of them: the faster of two takes 1.95 times as long as the best of a search,
            of the analytic model's two 2.93 times (`python benchmarks/warm.py choices`).

    Returns:
        The searches by key of the task.
    """
    shared, families = SharedRecords(), set()
    for history in known.relatives:
        shared.join(Lessons(history, TargetOptions()))
        families.add(history.space.feature_names)
    searches = {task.key: task_search(task, recipe, seed, shared) for task in tasks}
    for task in tasks:
        mine, outcomes = searches[task.key], known.outcomes.get(task.key, ())
        mine.history.extend(outcomes)
        mine.explorer.observe(outcomes)
        if instant and task.space.feature_names in families:
            mine.sampler = GreedySampler()
    return searches


def recall(known: Known, searches: Mapping[str, TaskSearch], scheduler: GradientScheduler) -> None:
    """Tell a scheduler what was measured of its tasks before.

    Args:
        known: What was measured.
        searches: The searches by key of the task, see `begun`.
        scheduler: Distributes the trials.
    """
    for key in known.outcomes:
        history, task = searches[key].history, scheduler.standings[key].task
        best = np.minimum.accumulate(history.seconds).tolist()
        scheduler.recall(task, best, exhausted=len(history) >= history.space.count)


def show(
    tasks: Sequence[Task],
    known: Known,
    searches: Mapping[str, TaskSearch],
    progress: Progress,
) -> None:
    """Show what was measured before, as batches that are done.

    Args:
        tasks: The tasks.
        known: What was measured.
        searches: The searches by key of the task, see `begun`.
        progress: Shows it; its `begin` was called.
    """
    for task in tasks:
        if task.key in known.outcomes:
            mine = searches[task.key]
            progress.batch_done(task, mine.history.outcomes, mine)


@dataclass(frozen=True)
class Giving:
    """An observer that adds every batch to the store of all runs as soon as it is recorded.

    Attributes:
        observer: Is told of the batch afterwards.
        share: Adds what was measured; it does not raise.
    """

    observer: Observer
    share: Callable[[], None]

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """See `Observer.batch_done`."""
        self.share()
        self.observer.batch_done(task, outcomes, search)
