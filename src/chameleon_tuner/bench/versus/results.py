"""The results of a comparison with other runtimes: latencies, output differences, failures."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ERROR_MARKED = 1e-3
"""Runtimes with a larger error are marked, because they compute something else than we do."""

ERROR_OF_ANOTHER_MODEL = 1e-2
"""If the errors of all runtimes are larger, it is our library that computes something else."""

_COVERAGE, _RESAMPLES, _GENERATOR_SEED = 0.95, 2000, 0
"""Parameters of the bootstrap intervals."""


@dataclass(frozen=True)
class Timed:
    """The results of a runtime that ran.

    Attributes:
        name: Name of the runtime.
        version: Version of its package.
        median_ms: Milliseconds per call, median over the rounds.
        interval_ms: 95% bootstrap interval of the median.
        error: Difference between our outputs and those of the runtime, see `core.agreement`. It is
            nan if values differ that are not both finite, infinite if the shapes differ, and None
            for our library.
        ratio: Our median divided by that of the runtime; None for our library.
    """

    name: str
    version: str
    median_ms: float
    interval_ms: tuple[float, float]
    error: float | None
    ratio: float | None

    @property
    def differs(self) -> bool:
        """Whether the error is so large that the runtime computes something else than we do."""
        return self.error is not None and not self.error <= ERROR_MARKED


@dataclass(frozen=True)
class Missing:
    """A runtime that is not installed, and the command that installs it."""

    name: str
    install: str


@dataclass(frozen=True)
class Broken:
    """A runtime that could not run the model, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Duel:
    """A tuned model compared with other runtimes; `versus.json` uses the same names.

    Attributes:
        model: Name of the model.
        machine: Name of the CPU.
        threads: Number of threads of every runtime.
        runtimes: Results of the runtimes that ran, ours first.
        missing: Runtimes that are not installed.
        failed: Runtimes that could not run the model.
        rounds: Number of rounds; every runtime has one turn per round.
        round_secs: Minimum seconds per turn, which has at least one call.
        busy: Number of other processes that were computing.
    """

    model: str
    machine: str
    threads: int
    runtimes: Sequence[Timed]
    missing: Sequence[Missing]
    failed: Sequence[Broken]
    rounds: int
    round_secs: float
    busy: int = 0

    @property
    def of_another_model(self) -> bool:
        """Whether all outputs differ so much from ours that the folder may be of another model."""
        errors = [runtime.error for runtime in self.runtimes if runtime.error is not None]
        return bool(errors) and not any(error <= ERROR_OF_ANOTHER_MODEL for error in errors)


def timed(
    name: str, version: str, secs: Sequence[float], error: float | None, ours_secs: Sequence[float]
) -> Timed:
    """Compute the results of a runtime from its samples.

    Args:
        name: Name of the runtime.
        version: Version of its package.
        secs: Seconds per call of the runtime, one sample per round.
        error: See `Timed`; None for our library.
        ours_secs: Seconds per call of our library, one sample per round.

    Returns:
        The median with its interval, and the ratio to our median.
    """
    median = statistics.median(secs)
    low, high = interval(secs)
    ratio = None if error is None else statistics.median(ours_secs) / median
    return Timed(name, version, median * 1e3, (low * 1e3, high * 1e3), error, ratio)


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Compute the 95% percentile bootstrap interval of the median, with a fixed seed."""
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
