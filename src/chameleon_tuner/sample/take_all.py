"""Measure what comes: for explorers that choose for themselves, and for random search."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.picks import completed, fresh
from chameleon_tuner.space import IntArray


class TakeAllSampler:
    """The first `plan` candidates as they come, filled up with random ones."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        return completed(fresh(candidates, history).rows[:plan], history, plan, rng)
