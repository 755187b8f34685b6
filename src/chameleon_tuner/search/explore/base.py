"""The interface of explorers, and the candidates that they propose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import Surrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.space import first_of_each


@dataclass(frozen=True)
class Candidates:
    """Distinct, unmeasured configurations that an explorer visited, in no particular order.

    Attributes:
        rows: Candidates as rows of indices, shape (n, 1 + width).
        scores: The model's predictions of -log(seconds / best), shape (n,); higher is faster. They
            are zeros while the model is not fitted.
        uncertainty: The standard deviations of the predictions, shape (n,).
        steps: The number of sequential search steps that the explorer took; this is the paper's
            measure of exploration effort.
    """

    rows: IntArray
    scores: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    steps: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Candidates:
        """Return the candidates at the given positions or under the given mask."""
        return Candidates(self.rows[index], self.scores[index], self.uncertainty[index], self.steps)


class Explorer(Protocol):
    """Interface of a search over one task's cost model; it may keep state between rounds."""

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """Propose unvisited candidates with high predicted scores.

        The result is deterministic, given the state of the generator and the earlier calls.

        Args:
            space: The design space of the task.
            model: The cost model of the task.
            history: The outcomes of the task so far.
            rng: The source of randomness.

        Returns:
            The candidates; there may be few or none when the space is nearly exhausted.
        """
        ...

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from the outcomes of the last batch."""
        ...


def union(space: DesignSpace, parts: Sequence[Candidates]) -> Candidates:
    """Merge candidates without duplicates, in order of first appearance; the steps add up."""
    together = Candidates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
        sum(part.steps for part in parts),
    )
    return together.take(first_of_each(space.keys(together.rows)))
