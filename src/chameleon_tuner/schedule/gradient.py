"""Which tasks next: where the network gains most from the next batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chameleon_tuner.schedule.budget import Budget
from chameleon_tuner.task import Task

TRIAL_SECS = 0.25
"""What a trial takes about, before anything has been measured: 0.15 to 0.3 s on two cores."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured of a task.

    Attributes:
        task: the task.
        trials: how many candidates, at least 1.
    """

    task: Task
    trials: int


@dataclass(frozen=True)
class ScheduleParameters:
    """How expected gains are estimated.

    Attributes:
        window: batches over which the recent gain is taken.
        optimism: share of its time that a task is expected to lose over as many trials as it
            had; halves the share of the recent gain in the estimate, as in Ansor's gradient
            (arXiv 2006.06762, section 6, alpha = 0.2 for the recent slope).
        patience: batches without any gain above `resolution`, after which a task has settled; more
            of smaller ones.
        resolution: relative gain that counts; the noise of two timings of the same kernel.
        hopeless: batches without a single kernel that runs, after which a task is given up.
        chances: batches that a task has before it is given up for another that computes the same,
            unless it is out of `reach`.
        reach: times as long as the other's kernel takes, from where a second batch is not
            expected to bring it back: the first one of a convolution is within 1.4 of its best.
    """

    window: int = 3
    optimism: float = 0.2
    patience: int = 6
    resolution: float = 0.01
    hopeless: int = 3
    chances: int = 2
    reach: float = 1.5


@dataclass
class Standing:
    """How far the search of one task is.

    Attributes:
        task: the task.
        trials: measured so far.
        best_secs: after each batch.
        exhausted: whether the space has nothing left to measure.
    """

    task: Task
    trials: int = 0
    best_secs: list[float] = field(default_factory=list)
    exhausted: bool = False

    @property
    def fastest_secs(self) -> float:
        """So far; infinite where nothing ran."""
        return self.best_secs[-1] if self.best_secs else math.inf

    def gain_per_trial(
        self, parameters: ScheduleParameters, batch: int, incumbent_secs: float
    ) -> float:
        """Expected seconds that the network gains by one more trial.

        Args:
            parameters: how it is estimated.
            batch: trials that come next.
            incumbent_secs: of the fastest kernel of all tasks that compute the same.
        """
        best = self.fastest_secs
        if math.isinf(best):
            return 0.0 if self.best_secs and math.isfinite(incumbent_secs) else math.inf
        before = self.best_secs[max(0, len(self.best_secs) - 1 - parameters.window)]
        steps = min(parameters.window, len(self.best_secs) - 1)
        recent = (before - best) / (steps * batch) if steps and math.isfinite(before) else 0.0
        outlook = parameters.optimism * best / max(self.trials, 1)
        behind = self._behind(parameters, incumbent_secs) / batch
        return self.task.weight * max(0.0, max(recent, outlook) - behind)

    def _behind(self, parameters: ScheduleParameters, incumbent_secs: float) -> float:
        """Seconds that it has to gain before the network gains any."""
        young = len(self.best_secs) < parameters.chances
        if young and self.fastest_secs < parameters.reach * incumbent_secs:
            return 0.0
        return self.fastest_secs - incumbent_secs

    def over(self, parameters: ScheduleParameters) -> bool:
        """Whether nothing is left to be found: all was measured, or nothing of it runs."""
        failing = bool(self.best_secs) and math.isinf(self.fastest_secs)
        return self.exhausted or (failing and len(self.best_secs) >= parameters.hopeless)

    def settled(self, parameters: ScheduleParameters) -> bool:
        """Whether it is on a plateau, where more trials bring little."""
        if len(self.best_secs) <= parameters.patience:
            return False
        before = self.best_secs[-1 - parameters.patience]
        return self.fastest_secs > (1 - parameters.resolution) * before


class GradientScheduler:
    """Every task once, heaviest first; then those whose next trials gain the network most.

    The first round begins with the tasks whose kernels the network has: what it is cut off by is
    never a kernel without any candidate, as long as there is time for one of each.

    Where a task's batch would leave cores idle those of several tasks are measured together.

    A task on a plateau comes after all others. When every one is, the search ends, unless there is
    a time budget: that is spent. Of tasks that compute the same kernel the network needs the
    fastest: one that is not expected to catch up in a batch is left out.

    Args:
        tasks: of one network.
        budget: of all tasks together.
        batch: most trials of a task at once; fewer where the time is short, so that more tasks
            have a share of it.
        parameters: how gains are estimated.
        together: trials that keep all cores busy.

    Attributes:
        at_once: trials from one choice to the next, about.
        standings: how far each task is, by its key.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        budget: Budget,
        batch: int,
        parameters: ScheduleParameters | None = None,
        together: int = 1,
    ) -> None:
        self._budget, self._together = budget, together
        self._batch = _affordable(len(tasks), budget, batch, share=1.0)
        self._first = _affordable(len(tasks), budget, batch, share=0.5)
        self._parameters = _for_batches(parameters or ScheduleParameters(), batch / self._batch)
        self.at_once = max(self._batch, together)
        by_work = sorted(
            tasks, key=lambda task: (bool(task.computes), -task.weight * task.flops, task.name)
        )
        self.standings = {task.key: Standing(task) for task in by_work}

    def next(self) -> list[Plan]:
        """What is measured next, and together; nothing when the search is over.

        Tasks of the same space are not measured together: what one finds the other tries.
        """
        plans: list[Plan] = []
        left = 0 if self._budget.out_of_time() else self.trials_left()
        for task in self._by_gain():
            planned = sum(plan.trials for plan in plans)
            if planned >= min(self._together, left):
                break
            if all(task.space != plan.task.space for plan in plans):
                plans.append(Plan(task, min(self._trials(task), left - planned)))
        return plans

    def _by_gain(self) -> list[Task]:
        """Those from which the network gains, most first, and what has settled behind them.

        Until all were tried, the untried.
        """
        incumbents: dict[str, float] = {}
        for standing in self.standings.values():
            kernel = standing.task.kernel
            fastest = incumbents.get(kernel, math.inf)
            incumbents[kernel] = min(fastest, standing.fastest_secs)
        gains = {
            key: standing.gain_per_trial(
                self._parameters, self._batch, incumbents[standing.task.kernel]
            )
            for key, standing in self.standings.items()
            if not standing.over(self._parameters)
        }
        gaining = [key for key, gain in gains.items() if gain > 0]
        settled = {key for key in gaining if self.standings[key].settled(self._parameters)}
        if not self._budget.timed:
            gaining = [key for key in gaining if key not in settled]
        ranked = sorted(gaining, key=lambda key: (key in settled, -gains[key]))
        untried = [key for key in ranked if not self.standings[key].best_secs]
        return [self.standings[key].task for key in untried or ranked]

    def trials_left(self) -> int:
        """How many trials the budget still has."""
        return self._budget.trials - sum(s.trials for s in self.standings.values())

    def _trials(self, task: Task) -> int:
        """Of a task's next batch.

        Until one of its candidates ran its batches are small where the budget is: every task gets
        its share.
        """
        ran = math.isfinite(self.standings[task.key].fastest_secs)
        return self._batch if ran else self._first

    def observe(self, task: Task, measured: int, best_secs: float, *, exhausted: bool) -> None:
        """Learn what a batch brought.

        Args:
            task: whose batch.
            measured: new trials.
            best_secs: the task's fastest kernel so far.
            exhausted: the space had nothing new to measure.
        """
        standing = self.standings[task.key]
        standing.trials += measured
        standing.best_secs.append(best_secs)
        standing.exhausted = exhausted


def _affordable(tasks: int, budget: Budget, batch: int, share: float) -> int:
    """Trials of a batch of which every task may have one in that share of the time."""
    trials = min(budget.trials, share * budget.search_secs / TRIAL_SECS)
    return max(1, int(min(batch, trials / max(1, tasks))))


def _for_batches(parameters: ScheduleParameters, smaller: float) -> ScheduleParameters:
    """The same patience in trials, for batches that are so many times smaller."""
    return replace(parameters, patience=math.ceil(parameters.patience * smaller))
