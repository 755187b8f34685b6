"""The curves of a comparison as tables of shape (tasks, seeds), and lookups in one curve."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.core.errors import UsageError

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Number of bootstrap resamples."""

GENERATOR_SEED = 0
"""Seed of the resampling, fixed so that the same curves give the same interval."""

COVERAGE = 0.95
"""Coverage of the bootstrap intervals."""


@dataclass(frozen=True)
class Estimate:
    """A geomean with its bootstrap 95% interval over seeds.

    Attributes:
        value: Geomean; nan without any data, infinite if one of the values is infinite.
        low: 2.5th percentile; None with fewer than two seeds.
        high: 97.5th percentile; None with fewer than two seeds.
        pairs: Number of (task, seed) pairs with data.
    """

    value: float
    low: float | None = None
    high: float | None = None
    pairs: int = 0

    def inverse(self) -> Estimate:
        """Return the estimate of the inverse ratio; infinity becomes 0."""
        if self.low is None or self.high is None:
            return Estimate(1 / self.value, pairs=self.pairs)
        return Estimate(1 / self.value, 1 / self.high, 1 / self.low, self.pairs)


def geomean(logs: FloatArray) -> Estimate:
    """Compute the geomean over tasks of each task's geomean over its seeds.

    Each resample draws seeds with replacement, the same seeds for all tasks. So the interval covers
    the variation between seeds, but not between tasks. The draws depend only on the number of
    seeds, so recipes with the same seeds are resampled in the same way. Percentiles are taken
    without interpolation, because resamples may be infinite.

    Args:
        logs: Natural logarithms, shape (tasks, seeds); nan for a missing run, never -inf.
    """
    logs = logs[:, ~np.isnan(logs).all(axis=0)]
    pairs = int((~np.isnan(logs)).sum())
    if not pairs:
        return Estimate(math.nan)
    value = float(np.exp(_mean(_mean(logs))))
    seeds = logs.shape[1]
    if seeds < 2:
        return Estimate(value, pairs=pairs)
    draws = np.random.default_rng(GENERATOR_SEED).integers(seeds, size=(RESAMPLES, seeds))
    resampled = np.sort(np.exp(_mean(_mean(logs[:, draws]).T)))
    tail = round((1 - COVERAGE) / 2 * RESAMPLES)
    return Estimate(value, float(resampled[tail]), float(resampled[-1 - tail]), pairs)


def ratio(over: FloatArray, under: FloatArray) -> Estimate:
    """Compute the `geomean` of the ratios of two tables, run by run.

    A pair is left out if either value is missing or `under` is infinite. If `over` is infinite,
    the ratio is infinite.

    Args:
        over: Numerators, shape (tasks, seeds).
        under: Denominators, shape (tasks, seeds).
    """
    return geomean(np.log(over) - np.log(np.where(np.isinf(under), np.nan, under)))


def _mean(values: FloatArray) -> FloatArray:
    """Return the mean over the last axis, ignoring nan; nan if all values are nan."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    mean: FloatArray = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


WITHIN = 1.01
"""A latency is reached when an incumbent is at most this multiple of it, that is, 1% above it."""


@dataclass(frozen=True)
class Runs:
    """The curves of a comparison by recipe, task and seed; runs may be missing.

    Attributes:
        recipes: Labels of the recipes, in the order of the curves.
        tasks: Names of the tasks, sorted.
        seeds: Seeds, sorted.
        curves: Curves by (recipe, task, seed).
    """

    recipes: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    curves: Mapping[tuple[str, str, int], Curve]

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Runs:
        """Index curves by recipe, task and seed.

        Raises:
            UsageError: There are two curves of the same run.
        """
        found: dict[tuple[str, str, int], Curve] = {}
        for curve in curves:
            key = (curve.recipe, curve.task, curve.seed)
            if key in found:
                raise UsageError(
                    f"two runs of {curve.recipe} on {curve.task} have seed {curve.seed}; "
                    "compare one of them"
                )
            found[key] = curve
        return cls(
            tuple(dict.fromkeys(curve.recipe for curve in curves)),
            tuple(sorted({curve.task for curve in curves})),
            tuple(sorted({curve.seed for curve in curves})),
            found,
        )

    def select(self, recipe: str, task: str | None = None) -> list[Curve]:
        """Return the curves of a recipe on one task or on all, in order of task and seed."""
        tasks = self.tasks if task is None else (task,)
        keys = ((recipe, name, seed) for name in tasks for seed in self.seeds)
        return [self.curves[key] for key in keys if key in self.curves]

    def table(self, recipe: str, figure: Callable[[Curve], float]) -> FloatArray:
        """Tabulate a figure of every run of a recipe, shape (tasks, seeds); nan if missing."""
        return np.array(
            [
                [
                    figure(self.curves[recipe, task, seed])
                    if (recipe, task, seed) in self.curves
                    else math.nan
                    for seed in self.seeds
                ]
                for task in self.tasks
            ],
            dtype=np.float64,
        ).reshape(len(self.tasks), len(self.seeds))

    def finals(self, recipe: str) -> dict[str, float]:
        """Compute the geomean over seeds of the final latency in microseconds, by task.

        It is nan if the recipe has no run on the task, and infinite if a run found nothing.
        """
        return {
            task: _geomean([curve.final_us for curve in self.select(recipe, task)])
            for task in self.tasks
        }

    def goals(self, recipe: str) -> dict[str, float]:
        """Compute the same as `finals`, without the runs and tasks where nothing was found."""
        found = {
            task: [c.final_us for c in self.select(recipe, task) if math.isfinite(c.final_us)]
            for task in self.tasks
        }
        return {task: _geomean(finals) for task, finals in found.items() if finals}

    def extent(self, recipe: str, task: str, figure: Callable[[Curve], float]) -> float:
        """Compute the median extent of the runs on a task, such as their number of trials.

        Runs that ended early with an error are left out, because the result limits the budget at
        which other runs are compared.

        Args:
            recipe: Label of the recipe.
            task: Name of the task.
            figure: Returns the extent of a run.

        Returns:
            The median over seeds; infinite if there is no run without an error.
        """
        whole = [figure(curve) for curve in self.select(recipe, task) if not curve.error]
        return float(np.median(whole)) if whole else math.inf


def base_name(recipe: str) -> str:
    """Strip the number of trials from a recipe's label: `random:64` becomes `random`."""
    return recipe.split(":")[0]


def at_measurement(curve: Curve, limit: float) -> float:
    """Return the microseconds of the incumbent after `limit` trials; infinite if there is none."""
    return _incumbent(curve, bisect_right(curve.measurements, limit))


def at_second(curve: Curve, limit: float) -> float:
    """Return the microseconds of the incumbent at a time; infinite if there is none.

    Args:
        curve: Curve of the run.
        limit: Time on the run's clock in seconds.
    """
    return _incumbent(curve, bisect_right(curve.seconds, limit))


def first_within(curve: Curve, goal_us: float) -> int | None:
    """Return the index of the first incumbent within 1% of a latency, or None."""
    reached = (n for n, us in enumerate(curve.best_us) if us <= WITHIN * goal_us)
    return next(reached, None)


def steps_to_converge(curve: Curve) -> float:
    """Return the exploration steps up to the first incumbent within 1% of the final latency.

    They are nan if the tuner does not report steps, or if the run found nothing.
    """
    reached = first_within(curve, curve.final_us)
    if reached is None or not curve.total_steps or math.isinf(curve.final_us):
        return math.nan
    return float(curve.steps[reached])


def _incumbent(curve: Curve, passed: int) -> float:
    """Return the microseconds of the last of the first `passed` incumbents."""
    return curve.best_us[passed - 1] if passed else math.inf


def _geomean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else math.nan
