"""The best by the model, and a few at random: AutoTVM's sampling, Chameleon's baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.picks import by_score, completed, fresh, random_share
from chameleon_tuner.space import IntArray


@dataclass(frozen=True)
class GreedySampler:
    """The candidates with the highest scores, but a random share of the batch.

    Attributes:
        epsilon: the random share; 0.05 is AutoTVM's (`ModelBasedTuner`) and MetaSchedule's.
    """

    epsilon: float = 0.05

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        usable = fresh(candidates, history)
        greedy = plan - random_share(plan, self.epsilon, rng)
        return completed(usable.rows[by_score(usable.scores)[:greedy]], history, plan, rng)
