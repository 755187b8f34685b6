"""Explorers that combine or extend other explorers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.explore.base import Candidates, Explorer, union
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.carry import carried


class MixedExplorer:
    """Explorer that merges the proposals of several explorers."""

    def __init__(self, explorers: Sequence[Explorer]) -> None:
        self.explorers = tuple(explorers)

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; the steps add up because the explorers run one after another."""
        return union(space, [e.propose(space, model, history, rng) for e in self.explorers])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """See `Explorer.observe`; every explorer receives the outcomes."""
        for explorer in self.explorers:
            explorer.observe(outcomes)


MOST = 3
"""The largest number of configurations that are taken from all twins together. Those further down
are about as fast as these or similar to them; the plan has better uses for their places."""


MOST_CARRIED = 4
"""The largest number of configurations that are carried over from one similar task."""


class WithTwins:
    """Explorer that adds the fastest configurations of a task's twins to another's proposals.

    Twins are other tasks of the network with the same design space (`SharedRecords.twins`). The
    scores of the added candidates come from the latencies that the twins measured, which say more
    than a prediction. Before anything of the task was measured, the fastest configurations of
    similar tasks of other extents are carried over too, with predicted scores.

    Args:
        explorer: The explorer to extend.
        shared: The records of all tasks of the network.
        most: The largest number of configurations from all twins together.
    """

    def __init__(self, explorer: Explorer, shared: SharedRecords, most: int = MOST) -> None:
        self._explorer, self._shared, self._most = explorer, shared, most

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; adding configurations of twins takes no steps."""
        others = self._explorer.propose(space, model, history, rng)
        twins = [self._fastest(twin, model, history) for twin in self._shared.twins(history)]
        if not twins and not len(history):
            twins = self._carried(space, model, history)
        if not twins:
            return others
        fastest = union(space, twins)
        first = np.argsort(-fastest.scores, kind="stable")[: self._most]
        return union(space, [fastest.take(first), others])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """See `Explorer.observe`; the extended explorer receives the outcomes."""
        self._explorer.observe(outcomes)

    def _carried(self, space: DesignSpace, model: Surrogate, history: History) -> list[Candidates]:
        """Return what is the fastest of similar tasks, in the space of this one."""
        found = []
        for other in self._shared.others(history):
            rows = space.unique(carried(other.ranked()[:MOST_CARRIED], other.space, space))
            if len(rows):
                mean, std = model.predict(rows)
                found.append(Candidates(rows, mean, std))
        return found

    def _fastest(self, twin: History, model: Surrogate, history: History) -> Candidates:
        """Return those of a twin's fastest configurations that the task has not measured."""
        rows = twin.ranked()[: self._most]
        secs = np.sort(twin.seconds)[: len(rows)]
        fresh = ~history.visited(rows)
        rows, scores = rows[fresh], np.log(secs[:1] / secs)[fresh]
        return Candidates(rows, scores, model.predict(rows).std)
