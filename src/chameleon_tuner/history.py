"""What a task's search knows: every outcome so far, as arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.space import DesignSpace, IntArray


class History:
    """The outcomes of one task in the order of their measuring.

    Attributes:
        space: the task's design space.
        outcomes: all outcomes, each structural hash once.
        rows: the configurations that ran, (n, 1 + width).
        seconds: their times, (n,); infinite for failures.
    """

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        self.outcomes: list[Outcome] = []
        self.rows: IntArray = np.zeros((0, 1 + space.width), dtype=np.int32)
        self.seconds: npt.NDArray[np.float64] = np.zeros(0)
        self._identities: set[str] = set()
        self._visited: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.outcomes)

    def extend(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Append outcomes; the new ones come back.

        What was proposed and what ran both count as visited, also where the same module was
        measured before.
        """
        if not outcomes:
            return []
        fresh = []
        for outcome in outcomes:
            if outcome.identity not in self._identities:
                self._identities.add(outcome.identity)
                fresh.append(outcome)
        ran = self.space.rows([outcome.configuration for outcome in outcomes])
        proposed = self.space.rows([outcome.proposed for outcome in outcomes])
        keys = self.space.keys(np.concatenate([ran, proposed]))
        self._visited = np.union1d(self._visited, keys)
        self.outcomes.extend(fresh)
        self.rows = np.concatenate([self.rows, self.space.rows([o.configuration for o in fresh])])
        self.seconds = np.append(self.seconds, [outcome.seconds for outcome in fresh])
        return fresh

    def visited(self, rows: IntArray) -> npt.NDArray[np.bool_]:
        """Which rows (n, 1 + width) have been measured, rejected or failed: (n,)."""
        return np.isin(self.space.keys(rows), self._visited)

    @property
    def best(self) -> Outcome | None:
        """The fastest outcome that is `ok`; None while there is none."""
        measured = [outcome for outcome in self.outcomes if outcome.status is Status.OK]
        return min(measured, key=lambda outcome: outcome.seconds, default=None)

    @property
    def best_secs(self) -> float:
        """Seconds of the fastest outcome; infinite while there is none."""
        return self.best.seconds if self.best else math.inf

    def ranked(self) -> IntArray:
        """Rows of the candidates that ran, fastest first: (m, 1 + width)."""
        order = np.argsort(self.seconds, kind="stable")
        return self.rows[order[np.isfinite(self.seconds[order])]]

    def stalled(self, trials: int, resolution: float) -> bool:
        """Whether the last so many trials brought no relative gain above `resolution`.

        No, while there are no more than that, or where nothing ran before them.
        """
        if len(self) <= trials:
            return False
        before, best = self.seconds[: len(self) - trials].min(), self.seconds.min()
        return bool(np.isfinite(before) and best > (1 - resolution) * before)
