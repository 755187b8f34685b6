"""The tuning loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Explorer
from chameleon_tuner.history import History
from chameleon_tuner.interrupts import held_back
from chameleon_tuner.measure.base import Batch, Measurer
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.sample.base import Sampler
from chameleon_tuner.schedule import GradientScheduler, Plan
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.task import Task


@dataclass
class TaskSearch:
    """The search of one task: what it knows and the parts that are its own."""

    history: History
    model: Surrogate
    explorer: Explorer
    sampler: Sampler
    rng: np.random.Generator = field(repr=False)


class Observer(Protocol):
    """Is told of every batch; must not raise."""

    def batch_done(self, task: Task, outcomes: Sequence[Outcome], search: TaskSearch) -> None:
        """A batch was measured."""
        ...


def search(
    scheduler: GradientScheduler,
    searches: Mapping[str, TaskSearch],
    measurer: Measurer,
    observer: Observer,
    clock: Stopwatch,
) -> None:
    """Tune until the scheduler says that it is over.

    Args:
        scheduler: which tasks next, and how many trials.
        searches: by key of the task.
        measurer: the hardware, the records in front of it, or a stand-in.
        observer: shows progress.
        clock: learns where the time goes.
    """
    while plans := scheduler.next():
        # One after another, so that a batch is proposed while those before it are built.
        batches = (_proposed(plan, searches[plan.task.key], clock) for plan in plans)
        measured = measurer.measure(batches)
        with held_back():  # who interrupts is told of all that was measured
            for plan, outcomes in zip(plans, measured, strict=True):
                task, mine = plan.task, searches[plan.task.key]
                fresh = mine.history.extend(outcomes)
                mine.explorer.observe(outcomes)
                exhausted = not fresh or len(mine.history) >= task.space.count
                scheduler.observe(task, len(fresh), mine.history.best_secs, exhausted=exhausted)
                observer.batch_done(task, fresh, mine)


def _proposed(plan: Plan, mine: TaskSearch, clock: Stopwatch) -> Batch:
    space, history, rng = plan.task.space, mine.history, mine.rng
    with clock.timing("fit"):
        mine.model.fit(history)  # what like tasks have measured since, too
    with clock.timing("explore"):
        candidates = mine.explorer.propose(space, mine.model, history, rng)
    with clock.timing("sample"):
        rows = mine.sampler.select(candidates, history, plan.trials, rng)
        return Batch(plan.task, space.configurations(rows), history.best_secs)
