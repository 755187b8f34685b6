"""Which task is searched next, and when the search ends: budgets and the gradient scheduler."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.task import Task

INSTANT = "instant"
"""The preset without a search: what is known chooses two candidates of every task."""

EFFORTS = {INSTANT: 2, "quick": 64, "standard": 192, "full": 768}
"""The average number of trials per task in each preset; tasks that gain more get more of them."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """The limits of a search.

    Attributes:
        trials: The number of trials of all tasks together.
        deadline: The time of the clock, in seconds, at which the search ends; infinite without a
            time budget.
        now: The clock; the system's monotonic clock by default.
        search_secs: The requested search time in seconds, regardless of how much of it is left: a
            resumed run must propose the same candidates. Infinite if only the deadline counts.
    """

    trials: int
    deadline: float = math.inf
    now: Callable[[], float] = time.monotonic
    search_secs: float = math.inf

    @property
    def timed(self) -> bool:
        """Whether there is a deadline."""
        return math.isfinite(self.deadline)

    def out_of_time(self) -> bool:
        """Return whether the deadline has passed."""
        return self.now() >= self.deadline


def trials_of(effort: str, tasks: int) -> int:
    """Return the number of trials of a preset for a network with `tasks` tasks.

    Raises:
        UsageError: There is no such preset.
    """
    if effort not in EFFORTS:
        raise UsageError(f"unknown effort {effort!r}; use one of {', '.join(EFFORTS)}")
    return EFFORTS[effort] * max(tasks, 1)


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `10m`, `1h30m` or `45`.

    Raises:
        UsageError: The text is not a duration, or the duration is not positive.
    """
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    seconds = 0.0
    if parts:
        for value, unit in zip(parts.groups(), ("h", "m", "s"), strict=True):
            seconds += float(value or 0) * _UNITS[unit]
    if seconds <= 0:
        raise UsageError(f"{text!r} is not a duration; write 90s, 10m or 1h30m")
    return seconds


FIRST, LEAST = 2, 4
"""The least number of trials of a task's first batch, and of later ones, where kernels have default
schedules. The first two are those of the analytic model (`search.sample.opening`)."""

TRIAL_SECS = 0.25
"""The estimated seconds of a trial, before any is measured: 0.15 to 0.3 s on two cores."""


@dataclass(frozen=True)
class Plan:
    """The next batch of a task.

    Attributes:
        task: The task to measure.
        trials: The number of candidates to measure, at least 1.
    """

    task: Task
    trials: int


@dataclass(frozen=True)
class ScheduleParameters:
    """Parameters of the estimate of expected gains.

    Attributes:
        window: The number of recent batches over which the recent gain is averaged.
        optimism: The share of its latency that a task is expected to lose over as many further
            trials as it has had. The expected gain is the larger of this and the recent gain. The
            value is that of alpha, the weight of the recent slope in Ansor's gradient (arXiv
            2006.06762, section 6).
        patience: The number of batches without a gain above `resolution` after which a task is on a
            plateau. The number is larger if the batches are smaller.
        resolution: The least relative gain that counts: the noise of two timings of one kernel.
        hopeless: The number of batches without any kernel that runs, after which a task is given
            up.
        chances: The number of batches that a task gets before it can be given up for a faster task
            that computes the same kernel, unless it is out of `reach`.
        reach: A second batch is not expected to help a task that is slower than this multiple of
            the faster task, as the first batch of a convolution is within 1.4 times its best.
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
    """The progress of one task's search.

    Attributes:
        task: The task.
        trials: The number of trials so far.
        best_secs: The best latency after each batch, in seconds.
        exhausted: Whether the space has nothing left to measure.
        partial: The number of trials since the last entry of `best_secs`.
    """

    task: Task
    trials: int = 0
    best_secs: list[float] = field(default_factory=list)
    exhausted: bool = False
    partial: int = 0

    @property
    def fastest_secs(self) -> float:
        """The best latency so far, in seconds; infinite if nothing ran."""
        return self.best_secs[-1] if self.best_secs else math.inf

    def gain_per_trial(
        self,
        parameters: ScheduleParameters,
        batch: int,
        incumbent_secs: float,
        default_secs: float = math.inf,
    ) -> float:
        """Estimate the seconds that the network gains by one more trial of the task.

        Args:
            parameters: The parameters of the estimate.
            batch: The number of trials of the next batch.
            incumbent_secs: The best latency of all tasks that compute the same kernel.
            default_secs: The latency of the kernel without any candidate; infinite if it is not
                known.

        Returns:
            The expected gain of all calls of the kernel per trial, in seconds. For an untried task
            it follows from the default latency. It is infinite where that is not known, and while
            no task for the same kernel has run; it is zero for a task of which nothing ran if
            another task for the kernel has run.
        """
        best = self.fastest_secs
        if not self.best_secs and math.isfinite(default_secs):
            return self.task.weight * parameters.optimism * default_secs
        if math.isinf(best):
            return 0.0 if self.best_secs and math.isfinite(incumbent_secs) else math.inf
        before = self.best_secs[max(0, len(self.best_secs) - 1 - parameters.window)]
        steps = min(parameters.window, len(self.best_secs) - 1)
        recent = (before - best) / (steps * batch) if steps and math.isfinite(before) else 0.0
        outlook = parameters.optimism * min(best, default_secs) / max(self.trials, 1)
        behind = self._behind(parameters, incumbent_secs) / batch
        return self.task.weight * max(0.0, max(recent, outlook) - behind)

    def _behind(self, parameters: ScheduleParameters, incumbent_secs: float) -> float:
        """Return the seconds that the task must gain before the network gains anything."""
        young = len(self.best_secs) < parameters.chances
        if young and self.fastest_secs < parameters.reach * incumbent_secs:
            return 0.0
        return self.fastest_secs - incumbent_secs

    def over(self, parameters: ScheduleParameters) -> bool:
        """Return whether nothing is left to be found: all was measured, or nothing runs."""
        failing = bool(self.best_secs) and math.isinf(self.fastest_secs)
        return self.exhausted or (failing and len(self.best_secs) >= parameters.hopeless)

    def settled(self, parameters: ScheduleParameters) -> bool:
        """Return whether the task is on a plateau, where more trials bring little."""
        if len(self.best_secs) <= parameters.patience:
            return False
        before = self.best_secs[-1 - parameters.patience]
        return self.fastest_secs > (1 - parameters.resolution) * before


class GradientScheduler:
    """Scheduler that measures every task once, then the tasks from which the network gains most.

    The first round takes the kernels as the network has them before their alternatives, and the
    heaviest first. If the time ends during this round, every kernel has candidates as long as there
    was time for one batch of each.

    If the latency of every kernel without candidates is known, there is no such round: a kernel
    from which the network cannot gain much waits for the others.

    If a batch of one task would leave cores idle, the batches of several tasks are measured
    together.

    A task on a plateau comes after all others. When all tasks are on a plateau, the search ends,
    unless there is a time budget, which is used up. The network needs only the fastest of the tasks
    that compute the same kernel, so a task that is not expected to catch up within a batch is left
    out.

    Args:
        tasks: The tasks of one network.
        budget: The budget of all tasks together.
        batch: The largest number of trials of a task at once. Batches are smaller if the time is
            short, so that more tasks get a share of it.
        parameters: The parameters of the estimate of gains.
        together: The number of trials that keeps all cores busy.
        defaults: The latency of kernels without any candidate, in seconds, by their keys.

    Attributes:
        at_once: The approximate number of trials between two decisions.
        standings: The progress of each task, by its key.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        budget: Budget,
        batch: int,
        parameters: ScheduleParameters | None = None,
        together: int = 1,
        defaults: Mapping[str, float] | None = None,
    ) -> None:
        self._budget, self._together, self._defaults = budget, together, defaults or {}
        self._batch = _affordable(len(tasks), budget, batch, share=1.0)
        self._first = _affordable(len(tasks), budget, batch, share=0.5)
        if self._defaults:  # not every task needs a batch
            self._batch = max(self._batch, min(batch, LEAST))
            self._first = max(self._first, min(batch, FIRST))
        self._parameters = _for_batches(parameters or ScheduleParameters(), batch / self._batch)
        self.at_once = max(self._batch, together)
        by_work = sorted(
            tasks, key=lambda task: (bool(task.computes), -task.weight * task.flops, task.name)
        )
        self.standings = {task.key: Standing(task) for task in by_work}

    def next(self) -> list[Plan]:
        """Return the batches to measure next, together; none if the search is over.

        Tasks with the same design space are not measured together, so that one task can try what
        the other has found.
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
        """Return the tasks from which the network gains, in the order of their gain.

        Tasks on a plateau come last, and only if there is a time budget. While there are untried
        tasks of which nothing is known, only these are returned.
        """
        incumbents: dict[str, float] = {}
        for standing in self.standings.values():
            kernel = standing.task.kernel
            fastest = incumbents.get(kernel, math.inf)
            incumbents[kernel] = min(fastest, standing.fastest_secs)
        gains = {
            key: standing.gain_per_trial(
                self._parameters,
                self._batch,
                incumbents[standing.task.kernel],
                self._defaults.get(standing.task.kernel, math.inf),
            )
            for key, standing in self.standings.items()
            if not standing.over(self._parameters)
        }
        gaining = [key for key, gain in gains.items() if gain > 0]
        settled = {key for key in gaining if self.standings[key].settled(self._parameters)}
        if not self._budget.timed:
            gaining = [key for key in gaining if key not in settled]
        ranked = sorted(gaining, key=lambda key: (key in settled, -gains[key]))
        untried = [
            key for key in ranked if not self.standings[key].best_secs and math.isinf(gains[key])
        ]
        return [self.standings[key].task for key in untried or ranked]

    def trials_left(self) -> int:
        """Return the number of trials that are left in the budget."""
        return self._budget.trials - sum(s.trials for s in self.standings.values())

    def _trials(self, task: Task) -> int:
        """Return the number of trials of a task's next batch.

        If the budget is small, batches are smaller until one of the task's candidates has run, so
        that every task gets its share.
        """
        ran = math.isfinite(self.standings[task.key].fastest_secs)
        return self._batch if ran else self._first

    def recall(self, task: Task, best_secs: Sequence[float], *, exhausted: bool) -> None:
        """Take over what was measured of a task before this search.

        Args:
            task: The task.
            best_secs: The best latency after each trial, in seconds.
            exhausted: Whether the space has nothing new to measure.
        """
        for start in range(0, len(best_secs), self._batch):
            some = best_secs[start : start + self._batch]
            self.observe(task, len(some), some[-1], exhausted=exhausted)

    def observe(self, task: Task, measured: int, best_secs: float, *, exhausted: bool) -> None:
        """Record the result of a batch.

        A sampler may choose fewer than were planned. Less than half a batch counts together with
        those after it, so that patience is a number of trials.

        Args:
            task: The task that was measured.
            measured: The number of new trials.
            best_secs: The task's best latency so far, in seconds.
            exhausted: Whether the space has nothing new to measure.
        """
        standing = self.standings[task.key]
        standing.trials += measured
        standing.partial += measured
        whole = 2 * measured >= self._batch or standing.partial >= self._batch
        if whole or not standing.best_secs:
            standing.best_secs.append(best_secs)
            standing.partial = 0
        else:
            standing.best_secs[-1] = best_secs
        standing.exhausted = exhausted


def _affordable(tasks: int, budget: Budget, batch: int, share: float) -> int:
    """Return the largest batch size with which every task can have one batch.

    The batches must fit in the budget's trials and in the given share of its search time.
    """
    trials = min(budget.trials, share * budget.search_secs / TRIAL_SECS)
    return max(1, int(min(batch, trials / max(1, tasks))))


def _for_batches(parameters: ScheduleParameters, smaller: float) -> ScheduleParameters:
    """Scale the patience to the same number of trials for batches that are smaller by a factor."""
    return replace(parameters, patience=math.ceil(parameters.patience * smaller))
