"""Best-so-far curves as step functions, and their means over tasks and seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon_tuner.compare.curve import Curve

FloatArray = npt.NDArray[np.float64]
Axis = Literal["seconds", "measurements"]

_POINTS = 160
"""Most points of a line: twenty seeds have thousands, and a panel is some 250 pixels wide."""
_LEAST_SECS = 1e-2
"""Where a logarithmic clock begins."""


class Steps(NamedTuple):
    """A step function: y[n] from x[n] on, nan before x[0]; x ascends, y is nan where infinite."""

    x: FloatArray
    y: FloatArray
    end: float

    def at(self, grid: FloatArray) -> FloatArray:
        """Values at every point of a grid (n,); the last one of those that begin together."""
        return np.append(np.nan, self.y)[np.searchsorted(self.x, grid, side="right")]


class Band(NamedTuple):
    """Geometric mean over seeds, the least and the largest: (n,) all, from the first value on."""

    x: FloatArray
    middle: FloatArray
    low: FloatArray
    high: FloatArray
    seeds: int


def steps_of(curve: Curve, axis: Axis, reference_us: float) -> Steps:
    """A run relative to a latency, up to its end."""
    least = _LEAST_SECS if axis == "seconds" else 1
    x = np.maximum(np.asarray(getattr(curve, axis), dtype=np.float64), least)
    us = np.asarray(curve.best_us, dtype=np.float64)
    y = np.where(np.isfinite(us) & (us > 0), us, np.nan) / reference_us
    whole = curve.total_secs if axis == "seconds" else curve.trials
    return Steps(x, y, max(float(whole), *x[-1:], least))


def band(seeds: Sequence[Sequence[Steps]]) -> Band:
    """Mean and spread over seeds of the geometric mean over each seed's tasks.

    It is defined where every task of every seed is; a run that has ended keeps its last figure.
    """
    runs = [steps for seed in seeds for steps in seed]
    grid = np.unique(np.concatenate([*(run.x for run in runs), [max(run.end for run in runs)]]))
    if len(grid) > _POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, _POINTS).round().astype(int)]
    logs = np.array([np.mean([np.log(run.at(grid)) for run in seed], axis=0) for seed in seeds])
    defined = np.flatnonzero(np.isfinite(logs.mean(axis=0)))
    begin = defined[0] if len(defined) else len(grid)
    shares = np.exp(logs[:, begin:])
    middle = np.exp(logs[:, begin:].mean(axis=0))
    return Band(grid[begin:], middle, shares.min(axis=0), shares.max(axis=0), len(seeds))


def best_finals(curves: Iterable[Curve]) -> dict[str, float]:
    """The least final latency of every task, by any recipe; tasks without one are left out."""
    best: dict[str, float] = {}
    for curve in curves:
        if 0 < curve.final_us < math.inf:
            best[curve.task] = min(best.get(curve.task, math.inf), curve.final_us)
    return best


def bands(curves: Iterable[Curve], best: Mapping[str, float], axis: Axis) -> dict[str, Band]:
    """A band for every recipe over all the tasks of `best`.

    Seeds count that found something on each of them; recipes without such a seed, or whose
    figures are never all defined, are left out.
    """
    runs: dict[str, dict[int, dict[str, Steps]]] = {}
    for curve in curves:
        seeds = runs.setdefault(curve.recipe, {})
        if curve.task in best and len(curve.best_us):
            steps = steps_of(curve, axis, best[curve.task])
            seeds.setdefault(curve.seed, {})[curve.task] = steps
    found = {}
    for recipe, seeds in runs.items():
        whole = [list(tasks.values()) for tasks in seeds.values() if len(tasks) == len(best)]
        if whole and len((made := band(whole)).x):
            found[recipe] = made
    return found
