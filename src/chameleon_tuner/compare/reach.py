"""How soon a recipe reaches what a reference ended with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon_tuner.compare.bootstrap import Estimate, FloatArray, ratio
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.runs import Runs, first_within

_INSTANT = 1e-6
"""Seconds; less than any clock here resolves, so that no ratio divides by zero."""


class Clock(NamedTuple):
    """A way to count effort: at a curve's nth incumbent, and of the whole run."""

    at: Callable[[Curve, int], float]
    whole: Callable[[Curve], float]


SECONDS = Clock(lambda curve, n: curve.seconds[n], lambda curve: curve.total_secs)
SEARCHING = Clock(
    lambda curve, n: curve.seconds[n] - curve.startup_secs,
    lambda curve: curve.total_secs - curve.startup_secs,
)
"""Seconds without those before the first batch."""
MEASUREMENTS = Clock(lambda curve, n: curve.measurements[n], lambda curve: curve.trials)


@dataclass(frozen=True)
class Gain:
    """How many times less a recipe needs than the reference; above 1 is better.

    Attributes:
        strict: against the moment the reference itself first came within 1% of its final.
        whole: against all that the reference spent.
    """

    strict: Estimate
    whole: Estimate


@dataclass(frozen=True)
class Reach:
    """What it took to come within 1% of the reference's final latency.

    Attributes:
        reached: runs that did.
        runs: that were compared: the reference has the same task and seed, and a final there.
        seconds: on the run's clock, start-up included.
        searching: the same without start-up.
        measurements: candidates measured.
    """

    reached: int
    runs: int
    seconds: Gain
    searching: Gain
    measurements: Gain


def reach(runs: Runs, recipe: str, reference: str) -> Reach:
    """Compare how soon a recipe reaches the reference's final, with how soon that did.

    The goal of a task is the geomean of the reference's finals over its seeds (of those runs
    that found something), and it stays what it is while seeds are resampled. So some of the
    reference's own runs may never reach it: the same rule holds for them, see `effort`.
    """
    known = ~np.isnan(effort(runs, recipe, reference, MEASUREMENTS))
    reached = np.isfinite(_first(runs, recipe, runs.goals(reference), MEASUREMENTS))
    return Reach(
        int((known & reached).sum()),
        int(known.sum()),
        *(_gain(runs, recipe, reference, clock) for clock in (SECONDS, SEARCHING, MEASUREMENTS)),
    )


def effort(runs: Runs, recipe: str, reference: str, clock: Clock) -> FloatArray:
    """What every run of a recipe needed to reach the reference's final, (tasks, seeds).

    A run that never did counts as the whole budget: all that it spent itself, or that the
    reference's run of the same seed spent where that is more, because giving up early must not
    look like being fast. Nan where either run is missing or the reference found nothing.
    """
    first = _first(runs, recipe, runs.goals(reference), clock)
    budget = np.maximum(runs.table(recipe, clock.whole), runs.table(reference, clock.whole))
    return np.where(np.isnan(budget), np.nan, np.where(np.isinf(first), budget, first))


def _gain(runs: Runs, recipe: str, reference: str, clock: Clock) -> Gain:
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
    """Where every run reached its goal: infinite if never, nan without a goal or a run."""

    def of(curve: Curve) -> float:
        if curve.task not in goals:
            return math.nan
        position = first_within(curve, goals[curve.task])
        return math.inf if position is None else clock.at(curve, position)

    return runs.table(recipe, of)
