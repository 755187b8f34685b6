"""The default cost model: boosted trees on the encoding of a design space."""

from __future__ import annotations

import functools

import numpy as np
from threadpoolctl import ThreadpoolController

from chameleon_tuner.cost.base import Prediction
from chameleon_tuner.cost.boosted import BoostingOptions
from chameleon_tuner.cost.building import BuildCost
from chameleon_tuner.cost.corrected import Corrected
from chameleon_tuner.cost.lessons import Lessons
from chameleon_tuner.cost.prior import Known
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.cost.target import TargetOptions
from chameleon_tuner.history import History
from chameleon_tuner.interrupts import held_back
from chameleon_tuner.space import DesignSpace, IntArray

RENEWAL = 0.05
"""Share by which a task's own records must have grown for a new fit; with batches of 16 every
second is left out after 320. A fit takes as long as there are records, and a batch changes little
(docs/evaluation.md); like tasks' records weigh 16 of so many, and may wait."""


@functools.cache
def _threads() -> ThreadpoolController:
    """Looks for libraries once, which takes some milliseconds."""
    with held_back():
        return ThreadpoolController()


class TreeSurrogate:
    """Encoding, target transform and regressor, put together; a `Surrogate`.

    The same fits, one after another, give the same model in every process; one to a task that
    hardly grew changes nothing. It knows something once at least one candidate has run, of this
    task or of a like one that shares its records, or from the start where it has a prior; a fit
    replaces the model, and predictions are thread-safe.
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
        """A model of one task.

        Args:
            space: the design space whose rows it predicts.
            boosting: the size of the ensemble.
            target: how outcomes become targets.
            seed: of the members' shares of the records.
            shared: what other tasks of the network learned; none by default.
            prior: what other layers taught; nothing by default.
            building: what long builds cost; nothing by default.
        """
        self._space = space
        self._boosting = boosting or BoostingOptions()
        self._target = target or TargetOptions()
        self._seed = seed
        self._shared = shared or SharedRecords()
        self._lessons: Lessons | None = None
        self._speed = Corrected(prior.speed if prior else None)
        self._building = building

    @property
    def fitted(self) -> bool:
        """Whether it knows anything."""
        return bool(self._speed)

    def fit(self, history: History) -> None:
        """Learn from everything measured so far, failures included.

        On one thread: it runs beside the builds, and the sums do not depend on the machine's
        number of cores.
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

    def _outgrown(self, history: History) -> bool:
        """Whether a history has grown enough since the last fit."""
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
        """Scores of rows (n, 1 + width): -log(seconds / best) and its standard deviation, (n,).

        With a `building`, less what each loses for a long build.
        """
        features = self._space.encode(rows)
        mean, std = self._speed.predict(features)
        if self._building is not None and self._speed:
            mean = mean - self._building.loss(features)
        return Prediction(mean, std)
