"""Batches by upper confidence bound: good, uncertain, and not telling the same twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.curiosity import Curiosity, untried
from chameleon_tuner.sample.geometry import FloatArray, squared_distances, standardised
from chameleon_tuner.sample.picks import by_score, completed, fresh, random_share
from chameleon_tuner.space import IntArray


@dataclass(frozen=True)
class SpreadSampler:
    """GP-BUCB (Desautels, Krause, Burdick 2014) on the cost model's own mean and deviation.

    The next pick has the largest mean + beta * std; a pick then lowers the std of what is near
    it as if it had been measured and its prediction confirmed, so that the next goes elsewhere.
    """

    beta: float = 1.0
    """Weight of the deviation. In simulated searches on a landscape fitted to the recorded
    convolutions 1 and 2 do alike, 0.3 is worse where the explorer's candidates are much alike."""
    reach: float = 0.5
    """Distance at which the correlation of two candidates is exp(-1/2), in units of the
    candidates' median distance; 0.3 and 1 do no better in the same simulations."""
    noise: float = 0.1
    """Variance of a measurement over that of a prediction."""
    most: int = 512
    """Candidates that are looked at, the best by mean + beta * std."""
    epsilon: float = 0.05
    """Random share of the batch, as in AutoTVM."""
    of_each: float = 0.0
    """Least share of the batch for each sketch that has candidates; see `EvolutionConfig`."""
    curiosity: Curiosity | None = None
    """Whether untried micro-kernels have a share where a search has stalled. They are picked first,
    and the others as if they had not been."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        usable = fresh(candidates, history)
        bounds = usable.scores + self.beta * usable.uncertainty
        picks = plan - random_share(plan, self.epsilon, rng)
        strangers = self._strangers(usable, bounds, history, picks, rng)
        least = np.full(len(history.space.sketches), int(self.of_each * plan))
        least -= np.bincount(usable.rows[strangers, 0], minlength=len(least))
        rest = np.delete(np.arange(len(usable)), strangers)
        best = rest[leaders(bounds[rest], usable.rows[rest, 0], self.most)]
        others = self._picks(usable.take(best), history, picks - len(strangers), least)
        chosen = np.concatenate([strangers, best[others]])
        return completed(usable.rows[chosen], history, plan, rng)

    def _strangers(
        self,
        usable: Candidates,
        bounds: FloatArray,
        history: History,
        picks: int,
        rng: np.random.Generator,
    ) -> npt.NDArray[np.int64]:
        """Positions of what curiosity picks, (<= picks,)."""
        count = self.curiosity.picks(history, picks, rng) if self.curiosity else 0
        if not count:
            return np.zeros(0, dtype=np.int64)
        new = untried(usable, history, bounds)[: self.most]
        return new[self._picks(usable.take(new), history, count)]

    def _picks(
        self,
        best: Candidates,
        history: History,
        count: int,
        least: npt.NDArray[np.integer] | int = 0,
    ) -> npt.NDArray[np.int64]:
        log_alike = log_correlations(history.space.encode(best.rows), self.reach)
        return conditioned_picks(best, log_alike, count, self.beta, self.noise, least)


def log_correlations(features: npt.NDArray[np.floating], reach: float) -> FloatArray:
    """Logarithm of the squared-exponential correlation of all pairs of rows (n, d): (n, n).

    Exponentials are taken of the picked rows alone; most are never picked.
    """
    points = standardised(features)
    squares = squared_distances(points, points)
    pairs = squares[np.triu(squares > 0, 1)]
    median = np.median(pairs) if len(pairs) else 1.0
    return np.asarray(squares * (-0.5 / (reach**2 * median)))


def leaders(
    scores: FloatArray, sketches: npt.NDArray[np.integer], most: int
) -> npt.NDArray[np.int64]:
    """Positions of the best, at most `most`; half of the places are shared out over the sketches.

    Args:
        scores: of candidates, (n,).
        sketches: of the same, (n,).
        most: how many.
    """
    order = by_score(scores)
    each = most // (2 * max(1, len(np.unique(sketches))))
    own = [order[sketches[order] == sketch][:each] for sketch in np.unique(sketches)]
    kept = np.zeros(len(scores), dtype=bool)
    kept[np.concatenate([order[:0], *own])] = True
    kept[order[~kept[order]][: most - int(kept.sum())]] = True
    return order[kept[order]]


def conditioned_picks(
    candidates: Candidates,
    log_alike: FloatArray,
    count: int,
    beta: float,
    noise: float,
    least: npt.NDArray[np.integer] | int = 0,
) -> npt.NDArray[np.int64]:
    """Greedy picks by upper confidence bound, each conditioned on those before: (<= count,).

    An incremental Cholesky factor of the picks' covariance: O(n * count**2) for n candidates.

    Args:
        candidates: n of them.
        log_alike: logarithms of the correlations of their scores, (n, n).
        count: how many to pick.
        beta: weight of the standard deviation.
        noise: variance of a measurement over that of a prediction.
        least: so many are of each sketch that has as many, (sketches,) or the same for all; the
            last picks see to it.
    """
    sketches = candidates.rows[:, 0]
    missing = np.clip(least, 0, np.bincount(sketches, minlength=np.size(least)))
    std = np.where(candidates.uncertainty > 0, candidates.uncertainty, 1e-6)
    means, variance = candidates.scores.copy(), std**2
    limit = min(count, len(means))
    factor = np.zeros((limit, len(means)))
    picks = np.zeros(limit, dtype=np.int64)
    for step in range(limit):
        bounds = means + beta * np.sqrt(np.maximum(variance, 0.0))
        if missing.sum() >= limit - step:
            bounds = np.where(missing[sketches] > 0, bounds, -np.inf)
        pick = int(np.argmax(bounds))
        picks[step] = pick
        missing[sketches[pick]] = max(0, missing[sketches[pick]] - 1)
        known = factor[:step].T @ factor[:step, pick]
        covariance = std * std[pick] * np.exp(log_alike[pick]) - known
        factor[step] = covariance / np.sqrt(max(variance[pick], 0.0) + noise * std[pick] ** 2)
        variance = variance - factor[step] ** 2
        means[pick] = -np.inf
    return picks
