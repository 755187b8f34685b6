"""The history of a task's search: every outcome so far, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import DistinctOutcomes, Outcome, Status
from chameleon_tuner.space import DesignSpace, IntArray


class History:
    """The outcomes of one task in the order of measurement.

    Attributes:
        space: The design space of the task.
        outcomes: All outcomes; every structural hash occurs once.
        rows: The configuration of each outcome, shape (n, 1 + width).
        seconds: The latency of each outcome, shape (n,); infinite for failures.
    """

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        self.outcomes: list[Outcome] = []
        self.rows: IntArray = np.zeros((0, 1 + space.width), dtype=np.int32)
        self.seconds: npt.NDArray[np.float64] = np.zeros(0)
        self._modules = DistinctOutcomes()
        self._visited: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.outcomes)

    def extend(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Append outcomes and return those that are new.

        The proposed configuration and the one that ran both count as visited, even if the same
        module was measured before.
        """
        if not outcomes:
            return []
        fresh = self._modules.add(outcomes)
        ran = self.space.rows([outcome.configuration for outcome in outcomes])
        proposed = self.space.rows([outcome.proposed for outcome in outcomes])
        keys = self.space.keys(np.concatenate([ran, proposed]))
        self._visited = np.union1d(self._visited, keys)
        self.outcomes.extend(fresh)
        self.rows = np.concatenate([self.rows, self.space.rows([o.configuration for o in fresh])])
        self.seconds = np.append(self.seconds, [outcome.seconds for outcome in fresh])
        return fresh

    def reserve(self, configurations: Sequence[Configuration]) -> None:
        """Count configurations as visited whose outcomes are still awaited."""
        keys = self.space.keys(self.space.rows(configurations))
        self._visited = np.union1d(self._visited, keys)

    @property
    def ran(self) -> IntArray:
        """The rows of the candidates that ran, in order, shape (m, 1 + width)."""
        return self.rows[np.isfinite(self.seconds)]

    def visited(self, rows: IntArray) -> npt.NDArray[np.bool_]:
        """Return which rows, shape (n, 1 + width), were measured, were rejected or failed, (n,)."""
        return np.isin(self.space.keys(rows), self._visited)

    @property
    def best(self) -> Outcome | None:
        """The fastest outcome with the status `ok`, or None if there is none."""
        measured = [outcome for outcome in self.outcomes if outcome.status is Status.OK]
        return min(measured, key=lambda outcome: outcome.seconds, default=None)

    @property
    def best_secs(self) -> float:
        """The latency of the fastest `ok` outcome in seconds; infinite if there is none."""
        return self.best.seconds if self.best else math.inf

    def ranked(self) -> IntArray:
        """Return the rows of the candidates that ran, fastest first, shape (m, 1 + width)."""
        order = np.argsort(self.seconds, kind="stable")
        return self.rows[order[np.isfinite(self.seconds[order])]]

    def stalled(self, trials: int, resolution: float) -> bool:
        """Return whether the last `trials` trials brought no relative gain above `resolution`.

        The result is false if there were no trials before them, or if none of those ran.
        """
        if len(self) <= trials:
            return False
        before, best = self.seconds[: len(self) - trials].min(), self.seconds.min()
        return bool(np.isfinite(before) and best > (1 - resolution) * before)
