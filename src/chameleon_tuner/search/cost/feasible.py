"""The chance that a configuration can be built and run, learned apart from its speed.

A refusal says nothing about how fast the neighbours are. Where failures counted as slow, a model of
a recorded dedispersion, after 64 random draws, ranked its best 20 configurations at the 59th to
86th percentile, and at the 7th to 9th without the failures.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.cost.base import FloatArray, Targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Ensemble, Float32, fit

LEAST = 0.02
"""The smallest chance. A model of few failures is too sure of itself, and what is never tried is
never found to be legal; a candidate of this chance must promise to be 50 times faster."""

_OPTIONS = BoostingOptions(members=4)
"""A regression of 0 and 1: its mean is the share of those alike that ran (Brier 1950)."""


class Feasibility:
    """A model of which configurations run, and which are refused, fail to build or crash."""

    def __init__(self) -> None:
        self._model: Ensemble | None = None

    def fit(self, features: Float32, ran: npt.NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Learn from all outcomes so far.

        Args:
            features: The features of the outcomes, shape (n, d).
            ran: Which of them ran, shape (n,). If all did, every chance is 1.
            rng: The source of randomness; not used if all ran.
        """
        self._model = None
        if len(ran) and not ran.all():
            goal = Targets(ran.astype(np.float64), np.ones(len(ran)))
            self._model = fit(features, goal, _OPTIONS, rng)

    def chance(self, features: Float32) -> FloatArray:
        """Return the chance of each configuration to run, from `LEAST` to 1, shape (n,)."""
        if self._model is None:
            return np.ones(len(features))
        return np.clip(self._model.predict(features).mean, LEAST, 1.0)
