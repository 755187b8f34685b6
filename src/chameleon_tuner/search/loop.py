"""The tuning loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.ports.measurer import Batch, Measurer
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.explore.base import Explorer
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.search.schedule import GradientScheduler, Plan
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.interrupts import held_back


@dataclass
class TaskSearch:
    """The state of one task's search: its history and its own instances of the parts."""

    history: History
    model: Surrogate
    explorer: Explorer
    sampler: Sampler
    rng: np.random.Generator = field(repr=False)


class Observer(Protocol):
    """Interface for following a search, for example to show progress; it must not raise."""

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """Handle a batch that was measured.

        Args:
            task: The task that was measured.
            outcomes: The new outcomes of the batch.
            search: The state of the task's search.
        """
        ...


def search(
    scheduler: GradientScheduler,
    searches: Mapping[str, TaskSearch],
    measurer: Measurer,
    observer: Observer,
    clock: Stopwatch,
) -> None:
    """Tune until the scheduler has no further plans.

    Args:
        scheduler: It decides which tasks come next, with how many trials.
        searches: The state of each task's search, by the task's key.
        measurer: The hardware, the records in front of it, or a substitute.
        observer: It receives every measured batch.
        clock: It records how the time is spent.
    """
    while plans := scheduler.next():
        # A generator, so that a batch is proposed while the batches before it are being built.
        batches = (proposed(plan, searches[plan.task.key], clock) for plan in plans)
        measured = measurer.measure(batches)
        with held_back():  # an interrupt waits until all outcomes are recorded and reported
            for plan, outcomes in zip(plans, measured, strict=True):
                task, mine = plan.task, searches[plan.task.key]
                fresh = mine.history.extend(outcomes)
                mine.explorer.observe(outcomes)
                exhausted = not fresh or len(mine.history) >= task.space.count
                scheduler.observe(task, len(fresh), mine.history.best_secs, exhausted=exhausted)
                observer.batch_done(task, fresh, mine)


def proposed(plan: Plan, mine: TaskSearch, clock: Stopwatch) -> Batch:
    """Return the next batch of a task: fit its model, explore, and sample.

    Args:
        plan: The task, and the number of trials.
        mine: The state of the task's search.
        clock: It records how the time is spent.

    Returns:
        The batch.
    """
    space, history, rng = plan.task.space, mine.history, mine.rng
    with clock.timing("fit"):
        mine.model.fit(history)  # similar tasks may have shared new records since, too
    with clock.timing("explore"):
        candidates = mine.explorer.propose(space, mine.model, history, rng)
    with clock.timing("sample"):
        rows = mine.sampler.select(candidates, history, plan.trials, rng)
        return Batch(plan.task, space.configurations(rows), history.best_secs)
