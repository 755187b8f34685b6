"""Figures of merit of every recipe against the reference, computed from the curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.reach import Exploration, Reach, exploration, reach
from chameleon_tuner.bench.figures.runs import (
    Estimate,
    Runs,
    at_measurement,
    at_second,
    base_name,
    ratio,
)
from chameleon_tuner.core.errors import UsageError

PREFERRED_REFERENCES = ("metaschedule", "autotvm", "annealing+greedy")
"""The default reference is the first of these recipes that takes part."""


@dataclass(frozen=True)
class Failures:
    """The number of trials that failed with one status, and their share of all trials."""

    count: int
    share: float


@dataclass(frozen=True)
class RecipeMerit:
    """The figures of merit of a recipe against the reference.

    Ratios of latencies below 1 are in favour of the recipe.

    Attributes:
        runs: Number of runs.
        errors: Number of runs that ended early with an error.
        unfinished: Number of runs whose final latency is infinite, because they found no kernel
            that runs. One such run makes a ratio of latencies infinite. Pairs in which the
            reference found nothing are left out; `Estimate.pairs` is the number of remaining pairs.
        trials: Number of trials in all runs.
        final_us: Geomean over seeds of the final latency, by task; see `Runs.finals`.
        at_equal_trials: Latency divided by the reference's at equal trials, see
            `figures_of_merit`.
        at_equal_secs: The same at equal wall-clock time.
        reach: How soon the recipe reached the reference's final latency.
        exploration: Exploration steps of the recipe.
        failures: Failed trials by status, the most frequent first.
        spent: Mean seconds per run by activity, over the runs that report them.
        startup_secs: Mean seconds per run before the first batch.
        total_secs: Mean seconds per run.
    """

    runs: int
    errors: int
    unfinished: int
    trials: int
    final_us: Mapping[str, float]
    at_equal_trials: Estimate
    at_equal_secs: Estimate
    reach: Reach
    exploration: Exploration
    failures: Mapping[str, Failures]
    spent: Mapping[str, float]
    startup_secs: float
    total_secs: float


@dataclass(frozen=True)
class Merit:
    """The figures of merit of a comparison.

    Attributes:
        reference: Recipe that the others are compared with.
        tasks: Names of the tasks, sorted.
        seeds: Seeds of the runs, sorted.
        recipes: Figures by recipe, in the order of the curves, including the reference.
    """

    reference: str
    tasks: Sequence[str]
    seeds: Sequence[int]
    recipes: Mapping[str, RecipeMerit]


def figures_of_merit(curves: Sequence[Curve], reference: str | None = None) -> Merit:
    """Compare every recipe with the reference, on the tasks and seeds that both have.

    Every ratio is a geomean over tasks of geomeans over seeds. At equal trials, the incumbents are
    compared at a number of trials per task: the smaller of the two recipes' medians over seeds. At
    equal wall-clock, they are compared at a time per task: the smaller of the two recipes' median
    total seconds; a run without an incumbent at this time has infinite latency. Runs that ended
    early with an error do not count in these medians.

    Args:
        curves: Curves in any order; runs may be missing.
        reference: Recipe to compare with; the default is the first of `PREFERRED_REFERENCES` that
            takes part, or else the first recipe.

    Raises:
        UsageError: There are no curves, none of the reference, or two of the same run.
    """
    runs = Runs.of(curves)
    if not runs.recipes:
        raise UsageError("no run has ended yet, so there is nothing to compare; run the tuners")
    reference = reference or _default_reference(runs.recipes)
    if reference not in runs.recipes:
        raise UsageError(
            f"the reference {reference!r} has no runs; choose one of {', '.join(runs.recipes)}"
        )
    recipes = {recipe: _recipe(runs, recipe, reference) for recipe in runs.recipes}
    return Merit(reference, runs.tasks, runs.seeds, recipes)


def equal_trials(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Compute the ratio of latencies to the reference at equal trials, see `figures_of_merit`.

    Args:
        runs: All runs of the comparison.
        recipe: Recipe of the numerator.
        reference: Recipe of the denominator.

    Returns:
        The ratio; below 1 the recipe is faster.
    """
    return _at_equal(runs, (recipe, reference), lambda curve: curve.trials, at_measurement)


def equal_secs(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Compute the ratio of latencies to the reference at equal time, see `figures_of_merit`.

    Args:
        runs: All runs of the comparison.
        recipe: Recipe of the numerator.
        reference: Recipe of the denominator.

    Returns:
        The ratio; below 1 the recipe is faster.
    """
    return _at_equal(runs, (recipe, reference), lambda curve: curve.total_secs, at_second)


def _recipe(runs: Runs, recipe: str, reference: str) -> RecipeMerit:
    """Compute the figures of merit of one recipe."""
    curves = runs.select(recipe)
    return RecipeMerit(
        runs=len(curves),
        errors=sum(bool(curve.error) for curve in curves),
        unfinished=sum(math.isinf(curve.final_us) for curve in curves),
        trials=sum(curve.trials for curve in curves),
        final_us=runs.finals(recipe),
        at_equal_trials=equal_trials(runs, recipe, reference),
        at_equal_secs=equal_secs(runs, recipe, reference),
        reach=reach(runs, recipe, reference),
        exploration=exploration(runs, recipe),
        failures=_failures(curves),
        spent=_spent(curves),
        startup_secs=float(np.mean([curve.startup_secs for curve in curves])),
        total_secs=float(np.mean([curve.total_secs for curve in curves])),
    )


def _at_equal(
    runs: Runs,
    pair: tuple[str, str],
    extent: Callable[[Curve], float],
    at: Callable[[Curve, float], float],
) -> Estimate:
    """Compute the ratio of latencies of a pair of recipes at equal budgets.

    Args:
        runs: All runs of the comparison.
        pair: Recipe and reference.
        extent: Returns the budget that a run used.
        at: Returns the latency of a run at a budget.
    """
    limits = {task: min(runs.extent(one, task, extent) for one in pair) for task in runs.tasks}
    return ratio(*(runs.table(one, lambda curve: at(curve, limits[curve.task])) for one in pair))


def _failures(curves: Sequence[Curve]) -> dict[str, Failures]:
    """Count failed trials by status, the most frequent status first."""
    trials = sum(curve.trials for curve in curves)
    counted: Counter[str] = Counter()
    for curve in curves:
        counted.update(curve.failures)
    order = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return {kind: Failures(count, count / trials) for kind, count in order if count}


def _spent(curves: Sequence[Curve]) -> dict[str, float]:
    """Compute mean seconds by activity over the runs that report them."""
    known = [curve.spent for curve in curves if curve.spent]
    activities = dict.fromkeys(activity for spent in known for activity in spent)
    return {one: float(np.mean([spent.get(one, 0.0) for spent in known])) for one in activities}


def _default_reference(recipes: Sequence[str]) -> str:
    """Return the first of `PREFERRED_REFERENCES` that takes part, or else the first recipe."""
    for preferred in PREFERRED_REFERENCES:
        for recipe in recipes:
            if base_name(recipe) == preferred:
                return recipe
    return recipes[0]
