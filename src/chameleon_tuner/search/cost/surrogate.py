"""The default cost model: boosted trees on the encoding of a design space."""

from __future__ import annotations

import functools

import numpy as np
from threadpoolctl import ThreadpoolController

from chameleon_tuner.search.cost.base import Prediction, TargetOptions
from chameleon_tuner.search.cost.boosted import BoostingOptions, Corrected
from chameleon_tuner.search.cost.building import BuildCost
from chameleon_tuner.search.cost.feasible import Feasibility
from chameleon_tuner.search.cost.prior import Known
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.system.interrupts import held_back

RENEWAL = 0.05
"""Refit once a task's own records have grown by this share. With batches of 16, every second fit is
left out after 320 records. A fit takes time in proportion to the records, and a batch then changes
little (docs/log.md). The records of similar tasks weigh only as much as 16 records, so they
can wait for the next fit."""


@functools.cache
def _threads() -> ThreadpoolController:
    """Find the libraries with thread pools, once, as this takes some milliseconds."""
    with held_back():
        return ThreadpoolController()


class TreeSurrogate:
    """A `Surrogate` that combines encoding, target transform and regressor.

    The same sequence of fits gives the same model in every process. A fit to a history that hardly
    grew changes nothing. The model is fitted once a candidate of this task has run, or of a similar
    task that shares its records; with a prior it is fitted from the start. A fit replaces the
    model, and predictions are thread-safe.
    """

    def __init__(
        self,
        space: DesignSpace,
        boosting: BoostingOptions | None = None,
        target: TargetOptions | None = None,
        seed: int = 0,
        shared: SharedRecords | None = None,
        prior: Known | None = None,
        building: BuildCost | None = None,
    ) -> None:
        """Create the model of one task.

        Args:
            space: The design space whose rows are predicted.
            boosting: The parameters of the ensemble.
            target: The parameters of the transform from outcomes to targets.
            seed: The seed of the draws of records and features.
            shared: The records of the network's tasks; none are shared by default.
            prior: The models of other layers; none by default.
            building: The price of long builds; none by default.
        """
        self._space = space
        self._boosting = boosting or BoostingOptions()
        self._target = target or TargetOptions()
        self._seed = seed
        self._shared = shared or SharedRecords()
        self._lessons: Lessons | None = None
        self._speed = Corrected(prior.speed if prior else None)
        self._building = building
        self._feasible = Feasibility()

    @property
    def fitted(self) -> bool:
        """Whether there is a prior or a fit to records."""
        return bool(self._speed)

    def fit(self, history: History) -> None:
        """Learn speed from what ran, and the chance to run from all outcomes so far.

        A fit uses one thread, because it may run at the same time as builds, and so that sums do
        not depend on the machine's number of cores.
        """
        if not self._outgrown(history):
            return
        rng = np.random.default_rng([self._seed, len(history)])
        known = self._shared.with_others(self._lessons_of(history), rng)
        if known is None:
            self._speed = Corrected(self._speed.prior)
            return
        with _threads().limit(limits=1, user_api="blas"):
            self._speed = self._speed.fitted(*known, len(history), self._boosting, rng)
            if self._building is not None:
                self._building.fit(history, rng)
            ran = np.isfinite(history.seconds)
            self._feasible.fit(self._space.encode(history.rows), ran, rng)

    def _outgrown(self, history: History) -> bool:
        """Return whether a history is a new one, or has grown enough since the last fit."""
        same = self._lessons is not None and self._lessons.history is history
        grown = len(history) - self._speed.records
        return not same or grown >= RENEWAL * self._speed.records

    def _lessons_of(self, history: History) -> Lessons:
        if self._lessons is not None and self._lessons.history is not history:
            self._shared.leave(self._lessons)
            self._lessons = None
        if self._lessons is None:
            self._lessons = Lessons(history, self._target)
            self._shared.join(self._lessons)
        return self._lessons

    def predict(self, rows: IntArray) -> Prediction:
        """Predict the scores, -log(seconds / best), of rows of shape (n, 1 + width).

        A score is the logarithm of a speed. The expected speed of what may fail is its speed times
        the chance that it runs, so the logarithm of the chance is added. With a `building`, each
        score is also reduced by the loss for a long build.
        """
        features = self._space.encode(rows)
        mean, std = self._speed.predict(features)
        if self._building is not None and self._speed:
            mean = mean - self._building.loss(features)
        if self._speed:
            mean = mean + np.log(self._feasible.chance(features))
        return Prediction(mean, std)
