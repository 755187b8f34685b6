"""The sampler's interface: of many candidates, the few that are measured."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.space import IntArray


class Sampler(Protocol):
    """A pure function of its arguments; the generator is its only source of chance."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """At most `plan` distinct rows (m, 1 + width) to measure, none of them visited.

        Args:
            candidates: what the explorer visited, (n, 1 + width); may be empty.
            history: what was measured; brings the design space.
            plan: the largest batch.
            rng: the source of chance.
        """
        ...
