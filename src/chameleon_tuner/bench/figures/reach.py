"""The effort of recipes to reach a reference's final latency, and their exploration steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.runs import (
    Estimate,
    FloatArray,
    Runs,
    base_name,
    first_within,
    geomean,
    ratio,
    steps_to_converge,
)


@dataclass(frozen=True)
class Exploration:
    """The exploration steps of a recipe.

    Attributes:
        to_converge: Steps to convergence, that is, up to the first incumbent within 1% of the run's
            own final latency. Runs that converged before their first step, and tuners that do not
            report steps, are left out.
        per_trial: Steps per trial, over all runs; nan if the tuner does not report steps.
        fewer: Steps to convergence of annealing with the same sampler, divided by those of the
            recipe; None if no such recipe takes part.
    """

    to_converge: Estimate
    per_trial: float
    fewer: Estimate | None


def exploration(runs: Runs, recipe: str) -> Exploration:
    """Count the steps of a recipe, and compare them with annealing with the same sampler."""
    steps = _steps(runs, recipe)
    curves = [curve for curve in runs.select(recipe) if curve.total_steps]
    trials = sum(curve.trials for curve in curves)
    total = sum(curve.total_steps for curve in curves)
    annealing = _annealing(runs.recipes, recipe)
    return Exploration(
        geomean(np.log(steps)),
        total / trials if trials else math.nan,
        ratio(_steps(runs, annealing), steps) if annealing else None,
    )


def _steps(runs: Runs, recipe: str) -> FloatArray:
    """Return the steps to convergence, shape (tasks, seeds); nan where they are unknown or 0."""
    table = runs.table(recipe, steps_to_converge)
    return np.where(table > 0, table, np.nan)


def _annealing(recipes: Sequence[str], recipe: str) -> str | None:
    """Return the recipe of annealing with the same sampler, if it takes part."""
    _, paired, sampler = base_name(recipe).partition("+")
    wanted = f"annealing+{sampler}"
    return next((one for one in recipes if paired and base_name(one) == wanted), None)


_INSTANT = 1e-6
"""Lower bound of efforts, so that no ratio divides by zero.

As seconds it is less than the resolution of any clock used here."""


class Clock(NamedTuple):
    """A measure of effort.

    Attributes:
        at: Returns the effort up to the nth incumbent of a curve.
        whole: Returns the effort of the whole run.
    """

    at: Callable[[Curve, int], float]
    whole: Callable[[Curve], float]


SECONDS = Clock(lambda curve, n: curve.seconds[n], lambda curve: curve.total_secs)
"""Seconds on the run's clock, including start-up."""

SEARCHING = Clock(
    lambda curve, n: curve.seconds[n] - curve.startup_secs,
    lambda curve: curve.total_secs - curve.startup_secs,
)
"""Seconds from the end of start-up, when the first batch can begin."""

MEASUREMENTS = Clock(lambda curve, n: curve.measurements[n], lambda curve: curve.trials)
"""Number of trials."""


@dataclass(frozen=True)
class Gain:
    """The reference's effort divided by the effort of a recipe; above 1 the recipe is better.

    Attributes:
        strict: Gain relative to the reference's effort until it first came within 1% of its final
            latency itself.
        whole: Gain relative to the effort of the reference's whole run.
    """

    strict: Estimate
    whole: Estimate


@dataclass(frozen=True)
class Reach:
    """The effort of a recipe to come within 1% of the reference's final latency.

    Attributes:
        reached: Number of runs that came within 1%.
        runs: Number of runs that were compared: those for which the reference has a run with the
            same task and seed, and a final latency on the task.
        seconds: Gain in seconds on the run's clock, including start-up.
        searching: Gain in seconds without start-up.
        measurements: Gain in number of trials.
    """

    reached: int
    runs: int
    seconds: Gain
    searching: Gain
    measurements: Gain


def reach(runs: Runs, recipe: str, reference: str) -> Reach:
    """Compare the efforts of a recipe and the reference to reach the reference's final latency.

    The goal of a task is the geomean over seeds of the reference's final latencies, without runs
    that found nothing. It is not resampled. Some of the reference's own runs may never reach this
    goal; they are treated in the same way, see `effort`.

    Args:
        runs: All runs of the comparison.
        recipe: Recipe to compare with the reference.
        reference: Recipe whose final latency is the goal.

    Returns:
        The gains in seconds and in trials.
    """
    known = ~np.isnan(effort(runs, recipe, reference, MEASUREMENTS))
    reached = np.isfinite(_first(runs, recipe, runs.goals(reference), MEASUREMENTS))
    return Reach(
        int((known & reached).sum()),
        int(known.sum()),
        *(_gain(runs, recipe, reference, clock) for clock in (SECONDS, SEARCHING, MEASUREMENTS)),
    )


def effort(runs: Runs, recipe: str, reference: str, clock: Clock) -> FloatArray:
    """Compute the effort of every run of a recipe to reach the reference's final latency.

    A run that never reached it counts with its whole effort, or with the whole effort of the
    reference's run with the same seed if that is more: a run that gives up early must not look
    fast.

    Args:
        runs: All runs of the comparison.
        recipe: Recipe whose effort is computed.
        reference: Recipe whose final latency is the goal.
        clock: Measure of effort.

    Returns:
        Efforts, shape (tasks, seeds); nan where either run is missing or the reference found
        nothing.
    """
    first = _first(runs, recipe, runs.goals(reference), clock)
    budget = np.maximum(runs.table(recipe, clock.whole), runs.table(reference, clock.whole))
    return np.where(np.isnan(budget), np.nan, np.where(np.isinf(first), budget, first))


def _gain(runs: Runs, recipe: str, reference: str, clock: Clock) -> Gain:
    """Compute the strict gain and the gain against the whole run, for one measure of effort."""
    own, strict, whole = (
        np.maximum(table, _INSTANT)
        for table in (
            effort(runs, recipe, reference, clock),
            effort(runs, reference, reference, clock),
            runs.table(reference, clock.whole),
        )
    )
    return Gain(ratio(strict, own), ratio(whole, own))


def _first(runs: Runs, recipe: str, goals: Mapping[str, float], clock: Clock) -> FloatArray:
    """Return the effort at which every run reached its goal, shape (tasks, seeds).

    It is infinite for runs that never reached it, and nan without a goal or a run.
    """

    def of(curve: Curve) -> float:
        if curve.task not in goals:
            return math.nan
        position = first_within(curve, goals[curve.task])
        return math.inf if position is None else clock.at(curve, position)

    return runs.table(recipe, of)
