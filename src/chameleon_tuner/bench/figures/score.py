"""The score of the autotuning community on spaces of which everything is measured.

Willemsen et al., "A methodology for comparing optimization algorithms for auto-tuning" (Future
Generation Computer Systems 2024): 0 is random search, 1 finds the optimum at once. The package
`autotuning_methodology` computes the same; the tests compare the two on the same runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.bench.figures.runs import COVERAGE, GENERATOR_SEED, WITHIN, Estimate
from chameleon_tuner.ports.runlog import RunLog

FloatArray = npt.NDArray[np.float64]

CUTOFF = 0.95
"""The share of the way from the median to the optimum that random search takes on average in the
budget to which runs are scored; the methodology's default."""

RESAMPLES = 500
"""Number of bootstrap resamples of the seeds."""


@dataclass(frozen=True)
class Scale:
    """The times of all configurations of a space that run.

    Attributes:
        seconds: The times in ascending order, shape (n,).
    """

    seconds: FloatArray

    @property
    def cutoff(self) -> int:
        """The evaluations after which random search is expected to have come `CUTOFF` of the way.

        Equation 7 of the paper; at least 1.
        """
        best, count = self.seconds[0], len(self.seconds)
        goal = best + (1 - CUTOFF) * (np.median(self.seconds) - best)
        slower = int((self.seconds > goal).sum())
        if slower == count - 1:
            slower = max(0, slower - 1)  # the optimum alone is no goal
        return max(1, math.ceil(slower / (count + 1 - slower)))

    def baseline(self, count: int) -> FloatArray:
        """Return the expected best of random search after 1 to `count` evaluations, (count,).

        Equation 6 of the paper, random search without replacement.
        """
        size = len(self.seconds)
        ranks = [min(size - 1, round(m * (size + 1) / (m + 1))) for m in range(1, count + 1)]
        return self.seconds[::-1][ranks]

    def ranks(self, seconds: FloatArray, count: int) -> npt.NDArray[np.int64]:
        """Return the rank of the best so far after 1 to `count` evaluations of a run, (count,).

        Args:
            seconds: The times in the order of evaluation; infinite for failures. A run that ended
                early keeps its best.
            count: The number of evaluations.
        """
        best = np.minimum.accumulate(seconds)[:count]
        best = np.pad(best, (0, count - len(best)), mode="edge")
        # Numbers are rounded when they are written, so equality is up to a billionth.
        found = np.searchsorted(self.seconds, best * (1 - 1e-9))
        return np.asarray(np.minimum(found, len(self.seconds) - 1))

    def score(self, ranks: npt.NDArray[np.int64]) -> float:
        """Return the score of runs whose best had these ranks, shape (runs, evaluations)."""
        mean = np.round(ranks.mean(axis=0)).astype(int)
        base, best = self.baseline(ranks.shape[1]), self.seconds[0]
        gap = base - best
        # Where random search is expected to have the optimum, nothing is left to gain.
        gained = np.where(gap > 0, (base - self.seconds[mean]) / np.where(gap > 0, gap, 1.0), 1.0)
        return float(gained.mean())


@dataclass(frozen=True)
class TaskScore:
    """The score of a recipe on one task.

    Attributes:
        score: The score over the budget.
        budget: Evaluations that are scored: the cutoff, or the trials if they are fewer.
        cutoff: Evaluations to the cutoff.
        within: Share of the runs that end within 1% of the optimum.
        to_optimum: Median over the runs of the evaluations to within 1% of it; infinite if most
            runs do not come there.
    """

    score: float
    budget: int
    cutoff: int
    within: float
    to_optimum: float


@dataclass(frozen=True)
class RecipeScore:
    """The scores of a recipe.

    Attributes:
        score: Mean over the tasks, with its interval over seeds.
        within: Mean share of the runs that end within 1% of the optimum.
        failed: Share of all evaluations that were refused or failed.
        tasks: The score of every task, by name.
    """

    score: Estimate
    within: float
    failed: float
    tasks: Mapping[str, TaskScore]


def scores(logs: Sequence[RunLog], scales: Mapping[str, Scale]) -> dict[str, RecipeScore]:
    """Return the scores of all recipes on the tasks with a scale.

    Every trial counts as an evaluation, also one that is refused or fails.

    Args:
        logs: The logs of all runs.
        scales: The times of all configurations, by name of the task.

    Returns:
        The scores by recipe; without a scale there are none.
    """
    recipes = dict.fromkeys(log.recipe for log in logs if log.task in scales and log.trials)
    return {recipe: _recipe([x for x in logs if x.recipe == recipe], scales) for recipe in recipes}


def _recipe(logs: Sequence[RunLog], scales: Mapping[str, Scale]) -> RecipeScore:
    tasks, resampled, pairs, trials, failed = {}, [], 0, 0, 0
    for name, scale in scales.items():
        runs = [_seconds(log) for log in logs if log.task == name and log.trials]
        if not runs:
            continue
        budget = min(scale.cutoff, max(map(len, runs)))
        ranks = np.stack([scale.ranks(run, budget) for run in runs])
        there = np.array([_first(run, WITHIN * scale.seconds[0]) for run in runs])
        tasks[name] = TaskScore(
            scale.score(ranks),
            budget,
            scale.cutoff,
            float(np.isfinite(there).mean()),
            float(np.sort(there)[(len(there) - 1) // 2]),
        )
        draws = np.random.default_rng(GENERATOR_SEED).integers(
            len(runs), size=(RESAMPLES, len(runs))
        )
        resampled.append([scale.score(ranks[draw]) for draw in draws])
        pairs += len(runs)
        trials += sum(map(len, runs))
        failed += sum(int(np.isinf(run).sum()) for run in runs)
    value = float(np.mean([task.score for task in tasks.values()]))
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(np.mean(resampled, axis=0), [tail, 100 - tail])
    seeds = {log.seed for log in logs}
    within = float(np.mean([task.within for task in tasks.values()]))
    known = len(seeds) > 1
    estimate = Estimate(value, float(low) if known else None, float(high) if known else None, pairs)
    return RecipeScore(estimate, within, failed / trials, tasks)


def _seconds(log: RunLog) -> FloatArray:
    return np.array([trial.own_secs for trial in log.trials], dtype=np.float64)


def _first(seconds: FloatArray, goal: float) -> float:
    """Return the number of evaluations after which a goal is reached, or infinity."""
    there = np.flatnonzero(seconds <= goal)
    return float(there[0] + 1) if len(there) else math.inf
