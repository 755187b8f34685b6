"""The cost model's interface."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.history import History
from chameleon_tuner.space import IntArray

FloatArray = npt.NDArray[np.float64]


class Prediction(NamedTuple):
    """Scores, -log(seconds / best), higher is faster, and their standard deviation: (n,) both."""

    mean: FloatArray
    std: FloatArray


class Surrogate(Protocol):
    """Predicts how fast configurations of one task are."""

    @property
    def fitted(self) -> bool:
        """Whether it has learned anything; `predict` returns zeros before."""
        ...

    def fit(self, history: History) -> None:
        """Learn from everything measured so far; what hardly grew may be left as it is."""
        ...

    def predict(self, rows: IntArray) -> Prediction:
        """Scores of rows (n, 1 + width)."""
        ...
