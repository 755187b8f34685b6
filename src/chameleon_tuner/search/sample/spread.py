"""Sampling by upper confidence bound: batches of good, uncertain and dissimilar candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.niches import niches
from chameleon_tuner.search.sample.base import by_score, completed, fresh, random_share
from chameleon_tuner.search.sample.clusters import FloatArray, squared_distances, standardised
from chameleon_tuner.space import IntArray
from chameleon_tuner.space.space import first_of_each


@dataclass(frozen=True)
class Curiosity:
    """A rule that gives untried micro-kernels a share of the batch once a search has stalled.

    In searches replayed on six recorded layers (`docs/log.md`), a quarter of every batch
    after the first 64 trials leads to equal results, but later. Half of the batch after 32 trials
    without a gain is too much. In a network, a task is over after a plateau of six batches, so the
    last two of these have untried micro-kernels.
    """

    share: float = 0.5
    """The share of the batch for untried micro-kernels."""
    patience: int = 64
    """The number of trials without a gain after which the search counts as stalled."""
    resolution: float = 0.01
    """The least relative gain that counts: the noise of two timings of the same kernel."""

    def picks(self, history: History, plan: int, rng: np.random.Generator) -> int:
        """Return how many candidates of a batch are to have untried micro-kernels.

        Args:
            history: The outcomes of the task so far.
            plan: The size of the batch.
            rng: The source of randomness.

        Returns:
            The number of candidates; zero unless the search has stalled.
        """
        if not history.stalled(self.patience, self.resolution):
            return 0
        return random_share(plan, self.share, rng)


def untried(
    candidates: Candidates, history: History, bounds: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the best candidate of every niche, such as a micro-kernel, that was not tried yet.

    A niche of which a candidate failed counts as tried.

    Args:
        candidates: The n candidates.
        history: The outcomes of the task so far.
        bounds: The upper confidence bound of each candidate, shape (n,).

    Returns:
        The positions of the candidates, best bound first.
    """
    ranked = by_score(bounds)
    found = niches(history, candidates.rows[ranked])
    new = ~np.isin(found, niches(history, history.rows))
    return ranked[new & first_of_each(found)]


@dataclass(frozen=True)
class SpreadSampler:
    """Sampler by GP-BUCB (Desautels, Krause, Burdick 2014) on the cost model's mean and deviation.

    The next pick is the candidate with the largest mean + beta * std. A pick lowers the std of
    similar candidates as if it had been measured and its prediction confirmed, so that the next
    pick is likely to be a different one.
    """

    beta: float = 1.0
    """The weight of the standard deviation. In simulated searches on a landscape fitted to the
    recorded convolutions, 1 and 2 give equal results; 0.3 is worse if the explorer's candidates are
    very similar to each other."""
    reach: float = 0.5
    """The distance at which the correlation of two candidates is exp(-1/2), in units of the
    candidates' median distance. In the same simulations, 0.3 and 1 are no better."""
    noise: float = 0.1
    """The variance of a measurement relative to that of a prediction."""
    most: int = 512
    """The number of candidates to pick from, the best by mean + beta * std."""
    epsilon: float = 0.05
    """The random share of the batch, as in AutoTVM."""
    of_each: float = 0.0
    """The least share of the batch for each sketch that has candidates; `EvolutionConfig.islands`
    says why."""
    curiosity: Curiosity | None = None
    """The rule for untried micro-kernels in a stalled search, if any. Their candidates are picked
    first, and the other candidates are picked independently of them."""

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
        """Return the positions of the picks with untried micro-kernels, at most `picks`."""
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
    """Return the logarithms of the squared-exponential correlations of all pairs of rows, (n, n).

    The caller takes exponentials only for the rows that are picked, as most never are.

    Args:
        features: The features of the rows, shape (n, d); they are standardised here.
        reach: The length scale, in units of the median distance.
    """
    points = standardised(features)
    squares = squared_distances(points, points)
    pairs = squares[np.triu(squares > 0, 1)]
    median = np.median(pairs) if len(pairs) else 1.0
    return np.asarray(squares * (-0.5 / (reach**2 * median)))


def leaders(
    scores: FloatArray, sketches: npt.NDArray[np.integer], most: int
) -> npt.NDArray[np.int64]:
    """Select the best candidates, with half of the places divided among the sketches.

    Args:
        scores: The scores of the candidates, shape (n,).
        sketches: The sketch of each candidate, shape (n,).
        most: The largest number of candidates to select.

    Returns:
        The positions of the selected candidates, best first.
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
    """Pick candidates greedily by upper confidence bound, each conditioned on the earlier picks.

    The covariance of the picks is kept as an incremental Cholesky factor, which costs
    O(n * count**2) for n candidates.

    Args:
        candidates: The n candidates.
        log_alike: The logarithms of the correlations of their scores, shape (n, n).
        count: The number of candidates to pick.
        beta: The weight of the standard deviation.
        noise: The variance of a measurement relative to that of a prediction.
        least: The least number of picks of each sketch, shape (sketches,) or one number for all,
            as far as the sketch has candidates. The last picks are restricted to reach it.

    Returns:
        The positions of the picks, shape (m,) with m <= count.
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
