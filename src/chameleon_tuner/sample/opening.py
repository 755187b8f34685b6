"""The same first batch for every recipe that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.base import Sampler
from chameleon_tuner.sample.take_all import TakeAllSampler
from chameleon_tuner.space import IntArray


@dataclass(frozen=True)
class AfterOpening:
    """The first batch is what the explorer drew at random; from then on another sampler chooses.

    While there is no model every explorer proposes the same random rows for the same seed. Left
    to themselves samplers would choose differently among them, and a comparison of explorers or
    samplers would also be one of first batches.

    Attributes:
        sampler: of every batch but the first.
    """

    sampler: Sampler

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        chosen = self.sampler if len(history) else TakeAllSampler()
        return chosen.select(candidates, history, plan, rng)
