"""Figures of merit: every recipe of a comparison against the reference, from the curves alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare.bootstrap import Estimate, ratio
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.exploration import Exploration, exploration
from chameleon_tuner.compare.reach import Reach, reach
from chameleon_tuner.compare.runs import Runs, at_measurement, at_second, base_name
from chameleon_tuner.errors import UsageError

PREFERRED_REFERENCES = ("metaschedule", "autotvm", "annealing+greedy")


@dataclass(frozen=True)
class Failures:
    """Trials that ended in one way, and their share of all."""

    count: int
    share: float


@dataclass(frozen=True)
class RecipeMerit:
    """A recipe against the reference; of ratios of latency, below 1 is better.

    Attributes:
        runs: how many there are.
        errors: runs that ended early for an error.
        unfinished: runs that found nothing that runs; one of them makes a ratio of latencies
            infinite. Pairs in which the reference found nothing cannot be divided by, and are
            left out: every estimate says how many pairs it rests on.
        trials: measured in all runs.
        final_us: geomean over seeds of the final latency, by task; see `Runs.finals`.
        at_equal_trials: final latency over the reference's, see `figures_of_merit`.
        at_equal_secs: the same at equal wall-clock.
        reach: how soon it reached the reference's final latency.
        exploration: steps.
        failures: by kind, the most frequent first.
        spent: mean seconds of a run by activity, over the runs that say.
        startup_secs: mean seconds of a run before its first batch.
        total_secs: mean seconds of a run.
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
        reference: what the others are held against.
        tasks: sorted.
        seeds: sorted.
        recipes: by name, in the order of the curves; the reference is among them.
    """

    reference: str
    tasks: Sequence[str]
    seeds: Sequence[int]
    recipes: Mapping[str, RecipeMerit]


def figures_of_merit(curves: Sequence[Curve], reference: str | None = None) -> Merit:
    """Hold every recipe against the reference, on the tasks and seeds that both have.

    Every ratio is a geomean over tasks of geomeans over seeds. Equal trials: per task, the
    incumbents at the smaller of the two recipes' numbers of trials (medians over seeds). Equal
    wall-clock: the incumbents at the same second, per task the smaller of the two recipes' total
    seconds (medians over seeds); a run that had nothing by then has infinite latency. Runs that
    ended early for an error have no say in either limit.

    Args:
        curves: in any order, some possibly missing.
        reference: a recipe; if not given metaschedule, else autotvm, else annealing+greedy, else
            the first.

    Raises:
        UsageError: there are no curves, or none of the reference, or two of the same run.
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
    """Latency over the reference's at equal trials, see `figures_of_merit`."""
    return _at_equal(runs, (recipe, reference), lambda curve: curve.trials, at_measurement)


def equal_secs(runs: Runs, recipe: str, reference: str) -> Estimate:
    """Latency over the reference's at equal wall-clock, see `figures_of_merit`."""
    return _at_equal(runs, (recipe, reference), lambda curve: curve.total_secs, at_second)


def _recipe(runs: Runs, recipe: str, reference: str) -> RecipeMerit:
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
    limits = {task: min(runs.extent(one, task, extent) for one in pair) for task in runs.tasks}
    return ratio(*(runs.table(one, lambda curve: at(curve, limits[curve.task])) for one in pair))


def _failures(curves: Sequence[Curve]) -> dict[str, Failures]:
    trials = sum(curve.trials for curve in curves)
    counted: Counter[str] = Counter()
    for curve in curves:
        counted.update(curve.failures)
    order = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return {kind: Failures(count, count / trials) for kind, count in order if count}


def _spent(curves: Sequence[Curve]) -> dict[str, float]:
    known = [curve.spent for curve in curves if curve.spent]
    activities = dict.fromkeys(activity for spent in known for activity in spent)
    return {one: float(np.mean([spent.get(one, 0.0) for spent in known])) for one in activities}


def _default_reference(recipes: Sequence[str]) -> str:
    for preferred in PREFERRED_REFERENCES:
        for recipe in recipes:
            if base_name(recipe) == preferred:
                return recipe
    return recipes[0]
