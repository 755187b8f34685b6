"""AutoTVM's diversity filter: cover as many values of the knobs as the batch can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.picks import by_score, completed, fresh, random_share
from chameleon_tuner.space import IntArray


@dataclass(frozen=True)
class DiverseSampler:
    """Picks greedily from the best candidates for score and for coverage of knob values.

    The objective is quality * sum(scores) + the number of distinct knob values in the batch. It
    is monotone and submodular, so the greedy choice is within 1 - 1/e of the best.
    """

    ratio: float = 2.0
    """Times the plan, the best candidates that are chosen from (`diversity_filter_ratio`, which
    AutoTVM leaves to the user)."""
    quality: float = 0.0
    """Weight of a unit of score against one more knob value. AutoTVM passes 0: being among the
    best `ratio * plan` is quality enough."""
    epsilon: float = 0.05
    """Random share of the batch, as in AutoTVM."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        usable = fresh(candidates, history)
        picks = plan - random_share(plan, self.epsilon, rng)
        best = usable.take(by_score(usable.scores)[: int(self.ratio * plan)])
        chosen = coverage_picks(best.rows, self.quality * best.scores, picks)
        return completed(best.rows[chosen], history, plan, rng)


def coverage_picks(
    rows: IntArray, scores: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    """Greedy picks for sum(scores) + distinct knob values; ties in order: (<= count,).

    Args:
        rows: (n, 1 + width); a knob of one sketch is not the knob of another.
        scores: (n,).
        count: how many to pick.
    """
    values = _value_numbers(rows)
    covered = np.zeros(values.max(initial=0) + 1, dtype=bool)
    gain = np.array(scores, dtype=np.float64)
    picks: list[int] = []
    for _ in range(min(count, len(rows))):
        pick = int(np.argmax(gain + (~covered[values]).sum(axis=1)))
        picks.append(pick)
        covered[values[pick]] = True
        gain[pick] = -np.inf
    return np.array(picks, dtype=np.int64)


def _value_numbers(rows: IntArray) -> npt.NDArray[np.int64]:
    """A number for every distinct (sketch, knob, value) that occurs: (n, width)."""
    span = rows.max(initial=0) + 1
    knobs = np.arange(rows.shape[1] - 1)
    place = rows[:, :1].astype(np.int64) * len(knobs) + knobs
    numbers = np.unique(place * span + rows[:, 1:], return_inverse=True)[1]
    return np.asarray(numbers.reshape(place.shape), dtype=np.int64)
