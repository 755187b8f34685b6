"""The best of many micro-kernels by the model: what lies outside of where a search has settled.

Evolution and descent start from what was measured and stay there: of 512 trials of the paper's
layers up to 90% were variations of two micro-kernels, and the best one was never tried
(`benchmarks/microkernels.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.moves import random_moves
from chameleon_tuner.explore.pool import ENOUGH, unscored
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.distinct import first_of_each


@dataclass(frozen=True)
class ElitesConfig:
    """How many rows a round looks at."""

    drawn: int = 512  # at random; the paper's layers have 196 to 19,600 micro-kernels
    mutants: int = 256  # of those that are kept
    keep: int = 256  # micro-kernels, the best by the model


class ElitesExplorer:
    """MAP-Elites (Mouret and Clune 2015) whose niches are micro-kernels.

    One configuration of each of those that promise most. They stay for the next round, which looks
    at their neighbours and at new random rows. An explorer of one task.
    """

    def __init__(self, config: ElitesConfig | None = None) -> None:
        self.config = config or ElitesConfig()
        self._elites: IntArray | None = None

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one round of mutants."""
        config = self.config
        if not model.fitted:
            return unscored(space, history, rng)
        rows = space.unique(self._grown(space, rng))
        rows = rows[~history.visited(rows)]
        if not len(rows):
            return Candidates(rows, np.zeros(0), np.zeros(0), 1)
        mean, std = model.predict(rows)
        ranked = np.argsort(-mean, kind="stable")
        first = first_of_each(space.micro_kernels(rows[ranked]))
        leading = ranked[first][: config.keep]
        # Where there are few micro-kernels the next best of them go with them.
        best = np.concatenate([leading, ranked[~first][: max(0, ENOUGH - len(leading))]])
        self._elites = rows[best]
        return Candidates(rows[best], mean[best], std[best], 1)

    def _grown(self, space: DesignSpace, rng: np.random.Generator) -> IntArray:
        """The elites with mutants of theirs and random rows."""
        drawn = space.sample(self.config.drawn, rng)
        elites = self._elites
        if elites is None:
            return drawn
        parents = elites[rng.integers(len(elites), size=self.config.mutants)]
        return np.concatenate([elites, random_moves(space, parents, rng), drawn])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn: what was measured is in the history."""
