"""A model of other layers, corrected by what a task's own records say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chameleon_tuner.cost.base import Prediction
from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, Float32, fit
from chameleon_tuner.cost.target import Targets

WORTH = 16.0
"""Records after which half of the variance of the prior is gone."""


@dataclass(frozen=True)
class Corrected:
    """The sum of a prior and of a model of what it missed.

    On eight recorded layers, each with a prior of the other networks' layers, the rank
    correlation on held-out configurations was 0.61 without any record of its own, 0.64, 0.67 and
    0.70 with 16, 32 and 64, and 0.45, 0.61 and 0.66 without the prior. One fit to the records of
    all layers together does alike and takes many times as long.

    Attributes:
        prior: of other layers, if there is one.
        own: of the differences from it.
        records: of the task, that `own` learned from.
    """

    prior: Ensemble | None
    own: Ensemble | None = None
    records: int = 0

    def __bool__(self) -> bool:
        """Whether it knows anything."""
        return self.prior is not None or self.own is not None

    def predict(self, features: Float32) -> Prediction:
        """Mean and standard deviation on rows (n, d): (n,) both; zeros where nothing is known."""
        mean, variance = np.zeros(len(features)), np.zeros(len(features))
        if self.prior is not None:
            guess = self.prior.predict(features)
            mean = mean + guess.mean
            variance = variance + guess.std**2 * WORTH / (WORTH + self.records)
        if self.own is not None:
            more = self.own.predict(features)
            mean, variance = mean + more.mean, variance + more.std**2
        return Prediction(mean, np.sqrt(variance))

    def fitted(
        self,
        features: Float32,
        goal: Targets,
        records: int,
        options: BoostingOptions,
        rng: np.random.Generator,
    ) -> Corrected:
        """The same prior, corrected by records of features (n, d), n at least 1."""
        scores = goal.scores
        if self.prior is not None:
            scores = scores - self.prior.predict(features).mean
        own = fit(features, Targets(scores, goal.weights), options, rng)
        return Corrected(self.prior, own, records)
