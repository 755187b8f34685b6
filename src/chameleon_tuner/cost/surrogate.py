"""The default cost model: boosted trees on the encoding of a design space."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.cost.base import Prediction
from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, fit
from chameleon_tuner.cost.target import TargetOptions, targets
from chameleon_tuner.history import History
from chameleon_tuner.space import DesignSpace, IntArray


class TreeSurrogate:
    """Encoding, target transform and regressor, put together; a `Surrogate`.

    The same history gives the same model in every process. It is fitted once at least one
    candidate has run; a fit replaces the model, and predictions are thread-safe.
    """

    def __init__(
        self,
        space: DesignSpace,
        boosting: BoostingOptions | None = None,
        target: TargetOptions | None = None,
        seed: int = 0,
    ) -> None:
        """A model of one task.

        Args:
            space: the design space whose rows it predicts.
            boosting: the size of the ensemble.
            target: how outcomes become targets.
            seed: of the members' shares of the records.
        """
        self._space = space
        self._boosting = boosting or BoostingOptions()
        self._target = target or TargetOptions()
        self._seed = seed
        self._ensemble: Ensemble | None = None

    @property
    def fitted(self) -> bool:
        """Whether some candidate had run when it was last fitted."""
        return self._ensemble is not None

    def fit(self, history: History) -> None:
        """Learn from everything measured so far, failures included.

        On one thread: it runs beside the builds, and the sums do not depend on the machine's
        number of cores.
        """
        if not np.isfinite(history.seconds).any():
            self._ensemble = None
            return
        features = self._space.encode(history.rows)
        rng = np.random.default_rng([self._seed, len(history)])
        with threadpool_limits(limits=1, user_api="blas"):
            self._ensemble = fit(features, targets(history, self._target), self._boosting, rng)

    def predict(self, rows: IntArray) -> Prediction:
        """Scores of rows (n, 1 + width): -log(seconds / best) and its standard deviation, (n,)."""
        if self._ensemble is None:
            return Prediction(np.zeros(len(rows)), np.zeros(len(rows)))
        return self._ensemble.predict(self._space.encode(rows))
