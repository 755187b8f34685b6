"""What the cost model learns: scores and weights from the outcomes of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chameleon_tuner.cost.base import FloatArray
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Status

_SHORTEST_SECS = 1e-12
"""A clock that says 0 would say minus infinity here."""


@dataclass(frozen=True)
class TargetOptions:
    """How outcomes become targets.

    The numbers are measured by `benchmarks/cost_model.py`.
    """

    floor: float = -4.0
    """No candidate that ran scores less (55 times slower than the best): the shape of the slow
    tail is of no use. Costs nothing at -4; at -3 the overall rank correlation falls by 0.01."""
    failure_gap: float = 0.25
    """A failure scores this much less than the worst that ran: low enough to be avoided, near
    enough not to pull the trees away from telling fast from slow."""
    emphasis: float = 0.5
    """Weights are exp(emphasis * score), the square root of the speed for 0.5. Rank correlation
    within the fastest third: 0.46 (was 0.44 unweighted); overall it falls by 0.004."""


class Targets(NamedTuple):
    """One row per outcome.

    Attributes:
        scores: -log(seconds / best), bounded, (n,).
        weights: how much each counts, positive, mean 1, (n,).
    """

    scores: FloatArray
    weights: FloatArray


def targets(history: History, options: TargetOptions) -> Targets:
    """Targets of all outcomes of a history, in its order; at least one of them ran.

    The scale is anchored at the fastest `ok` outcome. A `censored` one counts as just as slow as
    it was when it was cut off: far slower than the best, where the weight is small. Where
    nothing is `ok` the fastest `censored` one is the anchor.
    """
    ran = np.isfinite(history.seconds)
    ok = ran & np.array([outcome.status is Status.OK for outcome in history.outcomes])
    logs = np.log(np.maximum(history.seconds, _SHORTEST_SECS))
    best = logs[ok if ok.any() else ran].min()
    scores = np.clip(best - logs, options.floor, 0.0)
    scores[~ran] = scores[ran].min() - options.failure_gap
    weights = np.exp(options.emphasis * scores)
    return Targets(scores, weights / weights.mean())
