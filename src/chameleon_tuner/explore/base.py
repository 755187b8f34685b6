"""The explorer's interface: many candidates from the model, none from the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.distinct import first_of_each


@dataclass(frozen=True)
class Candidates:
    """Configurations an explorer visited, distinct and unmeasured, in no particular order.

    Attributes:
        rows: (n, 1 + width).
        scores: the model's prediction of -log(seconds / best), (n,); higher is faster. Zeros
            while there is no model.
        uncertainty: the prediction's standard deviation, (n,).
        steps: how many sequential steps of search the explorer took; the paper's measure of
            exploration effort.
    """

    rows: IntArray
    scores: npt.NDArray[np.float64]
    uncertainty: npt.NDArray[np.float64]
    steps: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Candidates:
        """The candidates at these positions or under this mask."""
        return Candidates(self.rows[index], self.scores[index], self.uncertainty[index], self.steps)


class Explorer(Protocol):
    """Searches the model of one task; keeps what it learned for the task's next round."""

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """Candidates the model likes, none of them visited.

        They may be few or none when the space is nearly exhausted. Deterministic given the
        generator's state and the calls before.
        """
        ...

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of the last batch."""
        ...


def union(space: DesignSpace, parts: Sequence[Candidates]) -> Candidates:
    """All candidates of the parts, each once, in order of first appearance."""
    together = Candidates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.uncertainty for part in parts]),
        sum(part.steps for part in parts),
    )
    return together.take(first_of_each(space.keys(together.rows)))
