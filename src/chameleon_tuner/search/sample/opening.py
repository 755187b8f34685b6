"""Sampling that begins with configurations of the analytic model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chameleon_tuner.search.explore.analytic import Core, promising
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import Sampler
from chameleon_tuner.space import IntArray

LEAST = 2
"""The least number of the first batch that the analytic model chooses. The faster of its first two
takes 0.67 of the time of a default schedule, the fastest of eight that the prior chooses 0.76 (the
16 heaviest kernels of an EfficientNet-B0 on a Zen 1; docs/log.md)."""

MOST = 6
"""The most of them: two register tiles for each of three sketches."""


@dataclass(frozen=True)
class WithOpening:
    """Sampler whose first batch begins with what the analytic model expects to be fast.

    At most half of a large batch is chosen by it. A kernel that is no product has none.
    """

    sampler: Sampler
    """The sampler of the rest of the first batch, and of all later ones."""
    core: Core
    """The CPU."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        if len(history):
            return self.sampler.select(candidates, history, plan, rng)
        space = history.space
        first = promising(space, self.core, min(MOST, max(LEAST, plan // 2)))[:plan]
        others = candidates.take(~np.isin(space.keys(candidates.rows), space.keys(first)))
        rest = self.sampler.select(others, history, plan - len(first), rng)
        return space.unique(np.concatenate([first, rest]))
