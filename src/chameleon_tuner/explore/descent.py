"""Coordinate descent from the incumbents, as in Droplet search: exploitation alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.moves import all_neighbours
from chameleon_tuner.explore.pool import ENOUGH, KEEP, Pool, unscored
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace


@dataclass(frozen=True)
class DescentConfig:
    """How far around the incumbents to look."""

    incumbents: int = 8  # Droplet search goes from the one best; timings are too close for that
    rings: int = 4  # moves away from an incumbent, at most
    frontier: int = 64  # the best of a ring are what the next one is around: 64 * 50 rows, 30 ms
    enough: int = ENOUGH  # unvisited candidates that end the widening: a plan
    keep: int = KEEP


class DescentExplorer:
    """The neighbours of the fastest measured configurations, then the neighbours of these."""

    def __init__(self, config: DescentConfig | None = None) -> None:
        self.config = config or DescentConfig()

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one ring."""
        config = self.config
        frontier = space.unique(history.ranked())[: config.incumbents]
        if not model.fitted:
            return unscored(space, history, rng, config.keep)
        pool = Pool(space, model, history, config.keep)
        steps = 0
        while len(frontier) and steps < config.rings and len(pool) < config.enough:
            ring = all_neighbours(space, frontier)
            steps += 1
            if len(ring):
                order = np.argsort(-pool.evaluate(ring), kind="stable")
                ring = ring[order[: config.frontier]]
            frontier = ring
        return pool.candidates(steps, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn: the incumbents are in the history."""
