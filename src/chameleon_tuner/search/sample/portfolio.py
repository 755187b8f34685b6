"""Sampling for programs with parameters: small batches that explore, exploit, and refine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import Sampler, by_score, completed, fresh
from chameleon_tuner.search.sample.spread import (
    conditioned_picks,
    log_correlations,
    untried,
)
from chameleon_tuner.space import IntArray

RESOLUTION = 0.01
"""The least relative gain that counts, as in `Curiosity`."""


@dataclass(frozen=True)
class PortfolioSampler:
    """Sampler whose batches are half for uncertain candidates, and half for the best.

    Of four picks, two have the largest mean + beta * std, one has the largest mean, and one the
    largest mean among the neighbours of the fastest measured, which differ in a single knob. On two
    recorded kernels of the Benchmark Hub, a convolution and a dedispersion on an A100, the bounds
    alone find the lonely optimum of the first but not the best of the flat top of the second, and a
    small beta the other way round; together they find both (docs/evaluation.md).
    """

    beta: float = 2.0
    """The weight of the standard deviation."""
    batch: int = 4
    """The size of a batch, if the plan is larger: each shows what the next should be, and what runs
    on an accelerator runs one after another anyway."""
    grown: float = 1 / 16
    """The size of a batch as a share of the trials so far, where that is larger. A single batch
    changes a model of hundreds of trials little, and a fit takes longer."""
    reach: float = 0.5
    """See `SpreadSampler.reach`."""
    noise: float = 0.1
    """See `SpreadSampler.noise`."""
    most: int = 256
    """The number of candidates of the largest bounds to pick from."""
    leaders: int = 3
    """The number of the fastest whose neighbours are refined."""
    patience: int = 32
    """The number of trials without a gain of 1% after which untried niches take the places of the
    best means: a search that has settled learns nothing from more of the same."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`; before anything has run, the random candidates are taken."""
        usable = fresh(candidates, history)
        if not len(history.ran):
            return completed(usable.rows[:plan], history, plan, rng)
        plan = min(plan, max(self.batch, int(self.grown * len(history))))
        explored = self._uncertain(usable, history, (plan + 1) // 2)
        left = np.delete(np.arange(len(usable)), explored)
        refined = left[self._near(usable.rows[left], usable.scores[left], history)][: plan // 4]
        left = np.setdiff1d(left, refined)
        missing = plan - len(explored) - len(refined)
        best = left[self._last(usable.take(left), history)][:missing]
        chosen = np.concatenate([explored, refined, best])
        return completed(usable.rows[chosen], history, plan, rng)

    def _uncertain(self, usable: Candidates, history: History, count: int) -> npt.NDArray[np.int64]:
        """Return the positions of picks by upper confidence bound, each conditioned on others."""
        bounds = usable.scores + self.beta * usable.uncertainty
        best = by_score(bounds)[: self.most]
        some = usable.take(best)
        alike = log_correlations(history.space.encode(some.rows), self.reach)
        return best[conditioned_picks(some, alike, count, self.beta, self.noise)]

    def _last(self, left: Candidates, history: History) -> npt.NDArray[np.int64]:
        """Return the positions of untried niches in a stalled search, then of the best means."""
        best = by_score(left.scores)
        if not history.stalled(self.patience, RESOLUTION):
            return best
        new = untried(left, history, left.scores + self.beta * left.uncertainty)
        return np.concatenate([new, best[~np.isin(best, new)]])

    def _near(
        self, rows: IntArray, scores: npt.NDArray[np.float64], history: History
    ) -> npt.NDArray[np.int64]:
        """Return the positions of rows that differ from a leader in one knob, best score first."""
        near = np.zeros(len(rows), dtype=bool)
        for leader in history.ranked()[: self.leaders]:
            near |= (rows != leader).sum(axis=1) == 1
        found = np.flatnonzero(near)
        return found[by_score(scores[found])]


@dataclass(frozen=True)
class ByKind:
    """Sampler that leaves spaces with tiles to one sampler, and those without to another."""

    tiled: Sampler
    """The sampler of kernels with tiles."""
    plain: Sampler
    """The sampler of programs with parameters."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        chosen = self.tiled if history.space.tiled else self.plain
        return chosen.select(candidates, history, plan, rng)
