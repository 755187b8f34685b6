"""Baseline samplers, and a wrapper that gives the samplers of a comparison the same first batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import Sampler, by_score, completed, fresh, random_share
from chameleon_tuner.space import IntArray


class TakeAllSampler:
    """Sampler of the first `plan` candidates in their order, filled up with random ones."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        return completed(fresh(candidates, history).rows[:plan], history, plan, rng)


@dataclass(frozen=True)
class GreedySampler:
    """Sampler of the candidates with the highest scores, except for a random share of the batch.

    Attributes:
        epsilon: The random share; 0.05 is AutoTVM's (`ModelBasedTuner`) and MetaSchedule's.
    """

    epsilon: float = 0.05

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        usable = fresh(candidates, history)
        greedy = plan - random_share(plan, self.epsilon, rng)
        return completed(usable.rows[by_score(usable.scores)[:greedy]], history, plan, rng)


@dataclass(frozen=True)
class DiverseSampler:
    """Sampler that picks greedily for score and for coverage of knob values.

    The objective is quality * sum(scores) + the number of distinct knob values in the batch. With
    `quality` 0 it is monotone and submodular, so that the greedy choice reaches at least 1 - 1/e of
    the optimum.
    """

    ratio: float = 2.0
    """The number of best candidates to pick from, as a multiple of the plan
    (`diversity_filter_ratio`, which AutoTVM leaves to the user)."""
    quality: float = 0.0
    """The weight of one unit of score relative to one more knob value. AutoTVM passes 0, because
    the best `ratio * plan` candidates are all good enough."""
    epsilon: float = 0.05
    """The random share of the batch, as in AutoTVM."""

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
    """Pick rows greedily for the sum of scores and the number of distinct knob values.

    Args:
        rows: Candidates as rows of indices, shape (n, 1 + width). The knobs of different sketches
            count as different.
        scores: The scores in units of one knob value, shape (n,).
        count: The number of rows to pick.

    Returns:
        The positions of the picks, shape (m,) with m <= count; the first row wins a tie.
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
    """Return a number for each (sketch, knob, value) of the rows, shape (n, width).

    Equal triples have equal numbers, which count from 0.
    """
    span = rows.max(initial=0) + 1
    knobs = np.arange(rows.shape[1] - 1)
    place = rows[:, :1].astype(np.int64) * len(knobs) + knobs
    numbers = np.unique(place * span + rows[:, 1:], return_inverse=True)[1]
    return np.asarray(numbers.reshape(place.shape), dtype=np.int64)


@dataclass(frozen=True)
class AfterOpening:
    """Sampler that takes the explorer's random rows as the first batch, then uses another sampler.

    Before the model is fitted, every explorer proposes the same random rows for the same seed.
    Different samplers would choose differently among them, and a comparison of explorers or
    samplers would also be a comparison of first batches.

    Attributes:
        sampler: The sampler of every batch except the first.
    """

    sampler: Sampler

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        chosen = self.sampler if len(history) else TakeAllSampler()
        return chosen.select(candidates, history, plan, rng)
