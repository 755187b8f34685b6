"""Geomeans over tasks, and how far they would move with other seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

RESAMPLES = 2000
GENERATOR_SEED = 0
"""Fixed, so that the same curves give the same interval."""

COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A geomean with its bootstrap 95% interval over seeds.

    Attributes:
        value: nan where there is nothing to compare; infinite where a part of it is.
        low: 2.5th percentile; None with fewer than two seeds.
        high: 97.5th percentile; None with fewer than two seeds.
        pairs: how many (task, seed) it rests on.
    """

    value: float
    low: float | None = None
    high: float | None = None
    pairs: int = 0

    def inverse(self) -> Estimate:
        """Of the ratio the other way round; what is infinite becomes 0."""
        if self.low is None or self.high is None:
            return Estimate(1 / self.value, pairs=self.pairs)
        return Estimate(1 / self.value, 1 / self.high, 1 / self.low, self.pairs)


def geomean(logs: FloatArray) -> Estimate:
    """Geomean over tasks of every task's geomean over its seeds.

    Every resample draws the seeds with replacement, the same for all tasks: the interval says
    what other seeds would do, not what other tasks would. The draws depend on nothing but the
    number of seeds, so recipes that ran the same seeds are resampled alike. Percentiles are
    taken without interpolation, because some of the resamples may be infinite.

    Args:
        logs: (tasks, seeds) natural logarithms; nan where a run is missing, never -inf.
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
    """`geomean` of the ratios of two tables, each (tasks, seeds), run by run.

    A pair takes part where both have it and `under` is finite; where `over` is infinite, so is
    the ratio.
    """
    return geomean(np.log(over) - np.log(np.where(np.isinf(under), np.nan, under)))


def _mean(values: FloatArray) -> FloatArray:
    """Over the last axis, of what is known: nan where nothing is, and never a warning."""
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    mean: FloatArray = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean
