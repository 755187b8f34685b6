"""How much of a batch goes where a search has not been, and which candidates are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.picks import by_score, random_share
from chameleon_tuner.space.distinct import first_of_each


@dataclass(frozen=True)
class Curiosity:
    """Untried micro-kernels have a share of the batch once a search gains nothing.

    Replayed on six recorded layers (`docs/evaluation.md`) a quarter of every batch after the first
    64 trials ends alike and gets there later; half after 32 trials without a gain is too much. In a
    network a task is over at a plateau of six batches: the last two of them are curious.
    """

    share: float = 0.5
    """Of the batch."""
    patience: int = 64
    """Trials without a gain."""
    resolution: float = 0.01
    """Relative gain that counts; the noise of two timings of the same kernel."""

    def picks(self, history: History, plan: int, rng: np.random.Generator) -> int:
        """How many of a batch of `plan`."""
        if not history.stalled(self.patience, self.resolution):
            return 0
        return random_share(plan, self.share, rng)


def untried(
    candidates: Candidates, history: History, bounds: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Positions of the best by bounds (n,) of every micro-kernel that was not tried, best first.

    One that failed was tried.
    """
    space = history.space
    ranked = by_score(bounds)
    niches = space.micro_kernels(candidates.rows[ranked])
    new = ~np.isin(niches, space.micro_kernels(history.rows))
    return ranked[new & first_of_each(niches)]
