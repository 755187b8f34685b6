"""Another explorer's proposals, and before them what is fastest in tasks of the same space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.explore.base import Candidates, Explorer, union
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace

MOST = 3
"""Of the fastest of all twins: what is further down is about as fast as they are, or like them,
and a plan has room for other things."""


class WithTwins:
    """Adds the fastest configurations of a task's twins, as they are.

    Their scores are what the twins measured, which tells more than a prediction.

    Args:
        explorer: that explores.
        shared: what the tasks of the network have measured.
        most: of all twins together.
    """

    def __init__(self, explorer: Explorer, shared: SharedRecords, most: int = MOST) -> None:
        self._explorer, self._shared, self._most = explorer, shared, most

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; what twins add takes no steps."""
        others = self._explorer.propose(space, model, history, rng)
        twins = [self._fastest(twin, model, history) for twin in self._shared.twins(history)]
        if not twins:
            return others
        fastest = union(space, twins)
        first = np.argsort(-fastest.scores, kind="stable")[: self._most]
        return union(space, [fastest.take(first), others])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """The other explorer learns."""
        self._explorer.observe(outcomes)

    def _fastest(self, twin: History, model: Surrogate, history: History) -> Candidates:
        """Of a twin's fastest those that the task has not measured."""
        rows = twin.ranked()[: self._most]
        secs = np.sort(twin.seconds)[: len(rows)]
        fresh = ~history.visited(rows)
        rows, scores = rows[fresh], np.log(secs[:1] / secs)[fresh]
        return Candidates(rows, scores, model.predict(rows).std)
