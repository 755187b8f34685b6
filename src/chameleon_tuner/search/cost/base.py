"""The interface of cost models, and the targets that they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Status
from chameleon_tuner.search.history import History
from chameleon_tuner.space import IntArray

FloatArray = npt.NDArray[np.float64]


class Prediction(NamedTuple):
    """Predicted scores -log(seconds / best) of configurations; higher is faster.

    Attributes:
        mean: The scores, shape (n,).
        std: The standard deviations of the scores, shape (n,).
    """

    mean: FloatArray
    std: FloatArray


class Surrogate(Protocol):
    """Interface of a cost model, which predicts how fast configurations of one task are."""

    @property
    def fitted(self) -> bool:
        """Whether the model has learned anything; before that, `predict` returns zeros."""
        ...

    def fit(self, history: History) -> None:
        """Learn from all outcomes so far; a model may skip a history that hardly grew."""
        ...

    def predict(self, rows: IntArray) -> Prediction:
        """Predict the scores of rows of shape (n, 1 + width)."""
        ...


_SHORTEST_SECS = 1e-12
"""The lower limit of latencies in seconds: the logarithm of a timing of 0 would be infinite."""


@dataclass(frozen=True)
class TargetOptions:
    """Parameters of the transform from outcomes to targets.

    The numbers below were measured by `benchmarks/cost_model.py`.
    """

    floor: float = -4.0
    """The lowest score of a candidate that ran; -4 is 55 times slower than the best. The shape of
    the slow tail is of no use. A floor of -4 has no cost; with -3 the overall rank correlation
    falls by 0.01."""
    emphasis: float = 0.5
    """The exponent of the weights, exp(emphasis * score); 0.5 gives the square root of the speed.
    It raises the rank correlation within the fastest third from 0.44 (unweighted) to 0.46, and
    lowers the overall one by 0.004."""


class Targets(NamedTuple):
    """What a cost model learns, with one entry per outcome that ran.

    Attributes:
        scores: The bounded scores -log(seconds / best), shape (n,).
        weights: The positive weights of the outcomes, with mean 1, shape (n,).
    """

    scores: FloatArray
    weights: FloatArray


def targets(history: History, options: TargetOptions) -> Targets:
    """Compute the targets of the outcomes that ran, at least one, in the order of a history.

    Failures say nothing about speed; `Feasibility` learns from them.

    Scores are relative to the fastest `ok` outcome, or to the fastest `censored` one if there is no
    `ok` outcome. A `censored` outcome has the latency at which it was cut off; that is far slower
    than the best, where weights are small.
    """
    ran = np.isfinite(history.seconds)
    ok = ran & np.array([outcome.status is Status.OK for outcome in history.outcomes])
    logs = np.log(np.maximum(history.seconds, _SHORTEST_SECS))
    best = logs[ok if ok.any() else ran].min()
    scores = np.clip(best - logs[ran], options.floor, 0.0)
    weights = np.exp(options.emphasis * scores)
    return Targets(scores, weights / weights.mean())
