"""What a task's history teaches a cost model, encoded once however many models ask."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.cost.boosted import Float32
from chameleon_tuner.cost.target import TargetOptions, Targets, targets
from chameleon_tuner.history import History


class Lessons:
    """Features and targets of a history as it grows.

    Args:
        history: of a task.
        options: how outcomes become targets.

    Attributes:
        history: as given.
    """

    def __init__(self, history: History, options: TargetOptions) -> None:
        self.history, self._options = history, options
        self._length = 0
        self._known: tuple[Float32, Targets] | None = None

    def known(self) -> tuple[Float32, Targets] | None:
        """Features (n, d) and targets of all outcomes so far; None while nothing ran."""
        history = self.history
        if len(history) != self._length and np.isfinite(history.seconds).any():
            self._known = history.space.encode(history.rows), targets(history, self._options)
            self._length = len(history)
        return self._known
