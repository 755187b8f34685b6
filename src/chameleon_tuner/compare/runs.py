"""The curves of a comparison as tables of (tasks, seeds), and what is read off one curve."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare.bootstrap import FloatArray
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.errors import UsageError

WITHIN = 1.01
"""What counts as having reached a figure: no more than 1% above it."""


@dataclass(frozen=True)
class Runs:
    """The curves of a comparison by recipe, task and seed; some may be missing.

    Attributes:
        recipes: in the order of the curves.
        tasks: sorted.
        seeds: sorted.
        curves: by (recipe, task, seed).
    """

    recipes: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    curves: Mapping[tuple[str, str, int], Curve]

    @classmethod
    def of(cls, curves: Sequence[Curve]) -> Runs:
        """Sort curves into a comparison.

        Raises:
            UsageError: there are two curves of the same run.
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
        """A recipe's curves, of one task or of all, in order of task and seed."""
        tasks = self.tasks if task is None else (task,)
        keys = ((recipe, name, seed) for name in tasks for seed in self.seeds)
        return [self.curves[key] for key in keys if key in self.curves]

    def table(self, recipe: str, figure: Callable[[Curve], float]) -> FloatArray:
        """A figure of every run of a recipe, (tasks, seeds); nan where the run is missing."""
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
        """Geomean over seeds of the final latency, us, by task.

        Nan where the recipe has no run on the task, infinite where one of them found nothing.
        """
        return {
            task: _geomean([curve.final_us for curve in self.select(recipe, task)])
            for task in self.tasks
        }

    def goals(self, recipe: str) -> dict[str, float]:
        """The same over the runs that found something; tasks without any are left out."""
        found = {
            task: [c.final_us for c in self.select(recipe, task) if math.isfinite(c.final_us)]
            for task in self.tasks
        }
        return {task: _geomean(finals) for task, finals in found.items() if finals}

    def extent(self, recipe: str, task: str, figure: Callable[[Curve], float]) -> float:
        """Median over seeds of how far the runs went; infinite where none ran to its end.

        A run that ended early for an error does not count: that is no reason to stop the others
        where it stopped.
        """
        whole = [figure(curve) for curve in self.select(recipe, task) if not curve.error]
        return float(np.median(whole)) if whole else math.inf


def base_name(recipe: str) -> str:
    """A recipe without the number of trials that may be its own: `random` of `random:64`."""
    return recipe.split(":")[0]


def at_measurement(curve: Curve, limit: float) -> float:
    """Microseconds of the incumbent after so many measurements; infinite if there is none."""
    return _incumbent(curve, bisect_right(curve.measurements, limit))


def at_second(curve: Curve, limit: float) -> float:
    """Microseconds of the incumbent at a second of the run's clock; infinite if there is none."""
    return _incumbent(curve, bisect_right(curve.seconds, limit))


def first_within(curve: Curve, goal_us: float) -> int | None:
    """Position of the first incumbent within 1% of a figure; None where none is."""
    reached = (n for n, us in enumerate(curve.best_us) if us <= WITHIN * goal_us)
    return next(reached, None)


def steps_to_converge(curve: Curve) -> float:
    """Steps of exploration up to the first incumbent within 1% of the run's own final.

    Nan where the tuner does not say how many it took, or the run found nothing.
    """
    reached = first_within(curve, curve.final_us)
    if reached is None or not curve.total_steps or math.isinf(curve.final_us):
        return math.nan
    return float(curve.steps[reached])


def _incumbent(curve: Curve, passed: int) -> float:
    return curve.best_us[passed - 1] if passed else math.inf


def _geomean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else math.nan
