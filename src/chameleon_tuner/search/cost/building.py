"""The price of building a candidate: a long compilation must promise a fast kernel."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.core.outcome import Status
from chameleon_tuner.search.cost.base import FloatArray, Targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Corrected, Ensemble, Float32
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace

PRICE = 0.25
"""The score that a candidate loses per factor of e by which its build time exceeds what `LONG`
allows. Scores are logarithms: a build of three times the allowed time must promise a latency that
is 24% lower."""

LONG = 1.5
"""The build time without a loss of score, as a multiple of the predicted median of random
candidates. Of the fastest 5% of three recorded layers, 90% were built within 1.6 to 2 medians; the
slowest 10% of all builds took a third of the total time."""

GROWTH = 1.25
"""Refit once the number of builds has grown by this factor. A fit takes 40 ms, and few builds are
enough to predict build times."""

_TAKES_AS_LONG = {Status.OK, Status.CENSORED, Status.TIMEOUT}
"""The statuses whose build time counts. A candidate that ran into the time limit takes at least as
long as the limit."""

_OPTIONS = BoostingOptions(members=1, share=1.0)
_SAMPLE = 512
"""The number of random candidates whose median build time is predicted."""


def building_targets(history: History) -> tuple[Float32, Targets] | None:
    """Return features and log build seconds of what was built, or None if nothing was.

    The weights are equal. Candidates that were rejected or failed during the build are left out,
    because their times are not those of complete builds. Candidates that ran into the time limit
    count.
    """
    secs = np.array([outcome.build_secs for outcome in history.outcomes])
    ran = np.array([outcome.status in _TAKES_AS_LONG for outcome in history.outcomes], dtype=bool)
    built = ran & (secs > 0)
    if not built.any():
        return None
    logs = np.log(secs[built])
    return history.space.encode(history.rows[built]), Targets(logs, np.ones(len(logs)))


class BuildCost:
    """Predictor of the score that a candidate loses for its build time.

    Args:
        space: The design space of the task.
        prior: A model of the build times of other layers; without it, nothing is lost before the
            first candidate was built.
    """

    def __init__(self, space: DesignSpace, prior: Ensemble | None = None) -> None:
        self._model = Corrected(prior)
        self._some = space.encode(space.sample(_SAMPLE, np.random.default_rng(0)))
        self._usual = self._median()

    def fit(self, history: History, rng: np.random.Generator) -> None:
        """Learn from all builds so far.

        The model stays as it is until the history has `GROWTH` times as many builds.
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
        """Return the losses of score, shape (n,), of features of shape (n, d).

        They are zeros while there is neither a prior nor a build.
        """
        if not self._model:
            return np.zeros(len(features))
        long: FloatArray = self._model.predict(features).mean - self._usual - np.log(LONG)
        return np.asarray(PRICE * np.maximum(0.0, long))

    def _median(self) -> float:
        """Return the median of the predicted log build seconds of random candidates."""
        if not self._model:
            return 0.0
        return float(np.median(self._model.predict(self._some).mean))
