"""What building a candidate will cost: a long compile must promise a fast kernel."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.cost.base import FloatArray
from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, Float32
from chameleon_tuner.cost.corrected import Corrected
from chameleon_tuner.cost.target import Targets
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.space import DesignSpace

PRICE = 0.25
"""Score that a candidate loses for every factor of e that building takes longer than `LONG`
allows. Scores are logarithms: three times as long as that must promise 24% faster."""

LONG = 1.5
"""Times the predicted median of random candidates that costs nothing. Of the fastest 5% of three
recorded layers, 90% were built within 1.6 to 2 medians; the slowest 10% of all took a third of all
the time."""

GROWTH = 1.25
"""Times as many records as at the last fit, from where it is worth another: one takes 40 ms, and
how long a build takes is learned from few."""

_TAKES_AS_LONG = {Status.OK, Status.CENSORED, Status.TIMEOUT}
"""What ran into the limit takes at least as long as that."""

_OPTIONS = BoostingOptions(members=1, share=1.0)
_SAMPLE = 512


def building_targets(history: History) -> tuple[Float32, Targets] | None:
    """Features and log seconds of what was built, with equal weights; None where nothing was.

    What was refused or failed while it was built took as long as that, and not as a build; what ran
    into the limit counts.
    """
    secs = np.array([outcome.build_secs for outcome in history.outcomes])
    ran = np.array([outcome.status in _TAKES_AS_LONG for outcome in history.outcomes], dtype=bool)
    built = ran & (secs > 0)
    if not built.any():
        return None
    logs = np.log(secs[built])
    return history.space.encode(history.rows[built]), Targets(logs, np.ones(len(logs)))


class BuildCost:
    """Predicts how much of its score a candidate loses for what building it takes.

    Args:
        space: of the task.
        prior: what other layers taught; without one, nothing costs before something was built.
    """

    def __init__(self, space: DesignSpace, prior: Ensemble | None = None) -> None:
        self._model = Corrected(prior)
        self._some = space.encode(space.sample(_SAMPLE, np.random.default_rng(0)))
        self._usual = self._median()

    def fit(self, history: History, rng: np.random.Generator) -> None:
        """Learn from everything built so far.

        What it knows stays as it is until the history has `GROWTH` times as many builds.
        """
        known = building_targets(history)
        if known is None:
            self._model = Corrected(self._model.prior)
        elif self._model.records <= len(known[0]) < GROWTH * self._model.records:
            return
        else:
            self._model = self._model.fitted(*known, len(known[0]), _OPTIONS, rng)
        self._usual = self._median()

    def loss(self, features: Float32) -> FloatArray:
        """What rows (n, d) lose: (n,), zeros while nothing is known."""
        if not self._model:
            return np.zeros(len(features))
        long: FloatArray = self._model.predict(features).mean - self._usual - np.log(LONG)
        return np.asarray(PRICE * np.maximum(0.0, long))

    def _median(self) -> float:
        """Of the log seconds that random candidates of the space should take."""
        if not self._model:
            return 0.0
        return float(np.median(self._model.predict(self._some).mean))
