"""What a comparison with other runtimes found: times with intervals, outputs, who is missing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ERROR_MARKED = 1e-3
"""A runtime whose error is larger is marked: it computes something else."""

ERROR_OF_ANOTHER_MODEL = 1e-2
"""Where every runtime's error is larger, it is ours that computes something else."""

_COVERAGE, _RESAMPLES, _GENERATOR_SEED = 0.95, 2000, 0


@dataclass(frozen=True)
class Timed:
    """A runtime that ran.

    Attributes:
        name: of the runtime.
        version: of its package.
        median_ms: milliseconds of one call, median over the rounds.
        interval_ms: 95% bootstrap interval of the median.
        error: our outputs' largest difference from its, relative to its largest output; nan where
            one is finite and the other is not, infinite where the shapes differ, None for ours.
        ratio: our median over its; None for ours.
    """

    name: str
    version: str
    median_ms: float
    interval_ms: tuple[float, float]
    error: float | None
    ratio: float | None

    @property
    def differs(self) -> bool:
        """Whether it computes something else than we do."""
        return self.error is not None and not self.error <= ERROR_MARKED


@dataclass(frozen=True)
class Missing:
    """A runtime that is not installed, and what installs it."""

    name: str
    install: str


@dataclass(frozen=True)
class Broken:
    """A runtime that could not run the model, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duel:
    """A tuned model beside other runtimes; `versus.json` has the same names.

    Attributes:
        model: its name.
        machine: name of the CPU.
        threads: of every runtime.
        runtimes: those that ran, ours first.
        missing: those that are not installed.
        failed: those that could not run the model.
        rounds: turns of every runtime.
        round_secs: seconds of a turn, at least one call.
    """

    model: str
    machine: str
    threads: int
    runtimes: Sequence[Timed]
    missing: Sequence[Missing]
    failed: Sequence[Broken]
    rounds: int
    round_secs: float

    @property
    def of_another_model(self) -> bool:
        """Whether every runtime's outputs are so far from ours that the folder is suspicious."""
        errors = [runtime.error for runtime in self.runtimes if runtime.error is not None]
        return bool(errors) and not any(error <= ERROR_OF_ANOTHER_MODEL for error in errors)


def timed(
    name: str, version: str, secs: Sequence[float], error: float | None, ours_secs: Sequence[float]
) -> Timed:
    """The figures of a runtime.

    Args:
        name: of the runtime.
        version: of its package.
        secs: seconds of one call, a figure a round.
        error: see `Timed`; None makes it ours.
        ours_secs: seconds of one call of ours, a figure a round.
    """
    median = statistics.median(secs)
    low, high = interval(secs)
    ratio = None if error is None else statistics.median(ours_secs) / median
    return Timed(name, version, median * 1e3, (low * 1e3, high * 1e3), error, ratio)


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """95% percentile bootstrap interval of the median; the same samples give the same one."""
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(samples, dtype=np.float64),),
        np.median,
        n_resamples=_RESAMPLES,
        confidence_level=_COVERAGE,
        method="percentile",
        random_state=np.random.default_rng(_GENERATOR_SEED),  # called `rng` from SciPy 1.15 on
    ).confidence_interval
    return float(found.low), float(found.high)


def difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Our outputs' largest difference from theirs, relative to their largest; see `Timed`."""
    if [np.shape(array) for array in ours] != [np.shape(array) for array in theirs]:
        return math.inf
    pairs = zip(ours, theirs, strict=True)
    return float(np.max([_apart(mine, other) for mine, other in pairs], initial=0.0))


def _apart(mine: Any, other: Any) -> float:
    mine, other = np.asarray(mine, dtype=np.float64), np.asarray(other, dtype=np.float64)
    odd = ~(np.isfinite(mine) & np.isfinite(other))
    if not np.array_equal(mine[odd], other[odd], equal_nan=True):
        return math.nan
    mine, other = mine[~odd], other[~odd]
    scale = max(float(np.abs(other).max(initial=0.0)), 1e-30)
    return float(np.abs(mine - other).max(initial=0.0)) / scale
