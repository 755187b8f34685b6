"""Random search: the baseline of every explorer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.pool import KEEP, Pool, unscored, unvisited
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace


class RandomExplorer:
    """Uniform samples, the best of them by the model.

    Attributes:
        samples: rows drawn a round; of them the best `keep` are candidates. Equal numbers give
            unbiased samples, whatever the model says.
        keep: candidates a round.
    """

    def __init__(self, samples: int = KEEP, keep: int = KEEP) -> None:
        self.samples, self.keep = samples, keep

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; one step."""
        if not model.fitted:
            return unscored(space, history, rng, self.keep)
        pool = Pool(space, model, history, self.keep)
        rows = unvisited(space, history, self.samples, rng)
        if len(rows):
            pool.evaluate(rows)
        return pool.candidates(1, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn."""
