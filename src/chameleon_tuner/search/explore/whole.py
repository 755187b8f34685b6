"""Scoring the whole of a small space, where no search of the model can miss anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.explore.base import Candidates, Explorer
from chameleon_tuner.search.explore.pool import enumerate_rows, unscored
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray

MOST = 1 << 15
"""The largest space that is scored as a whole: 32,768 predictions take 0.2 s."""


class WholeExplorer:
    """Explorer that proposes all that is left of a small space without tiles.

    The parameters of a program are few, and constraints leave some thousand combinations. Evolution
    proposes the best by the model's mean; a sampler that also looks for uncertain ones has to see
    all. Larger spaces, and those of tiled kernels, are left to another explorer.

    Args:
        other: The explorer for those.
    """

    def __init__(self, other: Explorer) -> None:
        self._other = other
        self._rows: tuple[DesignSpace, IntArray] | None = None

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; looking at everything is one step."""
        if space.tiled or space.count > MOST:
            return self._other.propose(space, model, history, rng)
        if not model.fitted:
            return replace(unscored(space, history, rng), steps=1)
        left = self._every(space)
        left = left[~history.visited(left)]
        if not len(left):
            return Candidates(left, np.zeros(0), np.zeros(0), 1)
        mean, std = model.predict(left)
        return Candidates(left, mean, std, 1)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """See `Explorer.observe`; the other explorer receives the outcomes."""
        self._other.observe(outcomes)

    def _every(self, space: DesignSpace) -> IntArray:
        if self._rows is None or self._rows[0] is not space:
            self._rows = space, space.unique(enumerate_rows(space))
        return self._rows[1]
