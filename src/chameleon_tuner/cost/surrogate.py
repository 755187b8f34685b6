"""The default cost model: boosted trees on the encoding of a design space."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.cost.base import Prediction
from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, Float32, fit
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.cost.target import TargetOptions, Targets, targets
from chameleon_tuner.history import History
from chameleon_tuner.space import DesignSpace, IntArray


class TreeSurrogate:
    """Encoding, target transform and regressor, put together; a `Surrogate`.

    The same history gives the same model in every process. It is fitted once at least one
    candidate has run, of this task or of a like one that shares its records; a fit replaces the
    model, and predictions are thread-safe.
    """

    def __init__(
        self,
        space: DesignSpace,
        boosting: BoostingOptions | None = None,
        target: TargetOptions | None = None,
        seed: int = 0,
        shared: SharedRecords | None = None,
    ) -> None:
        """A model of one task.

        Args:
            space: the design space whose rows it predicts.
            boosting: the size of the ensemble.
            target: how outcomes become targets.
            seed: of the members' shares of the records.
            shared: what other tasks of the network learned; none by default.
        """
        self._space = space
        self._boosting = boosting or BoostingOptions()
        self._target = target or TargetOptions()
        self._seed = seed
        self._shared = shared or SharedRecords()
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
        rng = np.random.default_rng([self._seed, len(history)])
        known = self._known(history, rng)
        if known is None:
            self._ensemble = None
            return
        with threadpool_limits(limits=1, user_api="blas"):
            self._ensemble = fit(*known, self._boosting, rng)

    def _known(self, history: History, rng: np.random.Generator) -> tuple[Float32, Targets] | None:
        names, own = self._space.feature_names, None
        if np.isfinite(history.seconds).any():
            own = self._space.encode(history.rows), targets(history, self._target)
            self._shared.publish(names, id(self), *own)
        return self._shared.with_others(names, id(self), own, rng)

    def predict(self, rows: IntArray) -> Prediction:
        """Scores of rows (n, 1 + width): -log(seconds / best) and its standard deviation, (n,)."""
        if self._ensemble is None:
            return Prediction(np.zeros(len(rows)), np.zeros(len(rows)))
        return self._ensemble.predict(self._space.encode(rows))
