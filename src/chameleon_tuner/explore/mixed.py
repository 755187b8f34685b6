"""Several explorers as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Candidates, Explorer, union
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace


class MixedExplorer:
    """The union of what several explorers propose; each of them learns from every outcome."""

    def __init__(self, explorers: Sequence[Explorer]) -> None:
        self.explorers = tuple(explorers)

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; steps add up, as the explorers go one after the other."""
        return union(space, [e.propose(space, model, history, rng) for e in self.explorers])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Every explorer learns."""
        for explorer in self.explorers:
            explorer.observe(outcomes)
