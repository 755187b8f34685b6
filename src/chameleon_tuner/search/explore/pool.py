"""Pools of scored candidates, and the explorer that fills a pool at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import FloatArray, Surrogate
from chameleon_tuner.search.explore.base import Candidates, union
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.space import first_of_each

KEEP = 512
"""The number of candidates that a search hands on to the sampler. AutoTVM keeps a plan of 64, times
a factor of up to 8 if its diversity filter chooses from them. The adaptive sampler is such a filter
too, and its k-means is fast on hundreds of points but not on thousands."""

ENOUGH = 64
"""The size of a plan: a search that found fewer candidates is filled up with random ones."""

ENUMERABLE = 1 << 15
"""Spaces with up to this many configurations are enumerated instead of sampled, in 30 ms."""

_ATTEMPTS = 8
"""The number of attempts to draw unvisited rows of a larger space before fewer are returned."""


class Pool:
    """The best distinct, unvisited rows that a search has evaluated.

    Every row that a search looks at goes through `evaluate`, so that no good row is lost. Of rows
    with equal scores, the first one seen is kept.

    Attributes:
        space: The design space of the task.
        history: The outcomes of the task so far.
        rows: The best rows so far, best first, shape (m, 1 + width) with m <= keep.
        scores: The predicted scores of the rows, shape (m,).
    """

    def __init__(
        self, space: DesignSpace, model: Surrogate, history: History, keep: int = KEEP
    ) -> None:
        self.space, self.history = space, history
        self._model, self._limit = model, keep
        self.rows: IntArray = np.zeros((0, 1 + space.width), dtype=np.int32)
        self.scores: FloatArray = np.zeros(0)
        self._std: FloatArray = np.zeros(0)
        self._keys: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.rows)

    def evaluate(self, rows: IntArray) -> FloatArray:
        """Predict the scores, shape (n,), of rows of shape (n, 1 + width) and keep the best."""
        mean, std = self._model.predict(rows)
        self.offer(rows, mean, std)
        return mean

    def offer(self, rows: IntArray, mean: FloatArray, std: FloatArray) -> None:
        """Keep the best of rows that were already predicted.

        Args:
            rows: Candidates as rows of indices, shape (n, 1 + width).
            mean: The predicted scores, shape (n,).
            std: The standard deviations of the predictions, shape (n,).
        """
        full = len(self) >= self._limit
        good = np.flatnonzero(mean > self.scores[-1]) if full else np.arange(len(rows))
        good = good[~self.history.visited(rows[good])]
        if len(good):
            self._merge(rows[good], mean[good], std[good])

    def _merge(self, rows: IntArray, mean: FloatArray, std: FloatArray) -> None:
        keys = np.concatenate([self._keys, self.space.keys(rows)])
        first = np.flatnonzero(first_of_each(keys))
        scores = np.concatenate([self.scores, mean])
        kept = first[np.argsort(-scores[first], kind="stable")][: self._limit]
        self.rows = np.concatenate([self.rows, rows])[kept]
        self._std = np.concatenate([self._std, std])[kept]
        self.scores, self._keys = scores[kept], keys[kept]

    def leaders(self, count: int) -> npt.NDArray[np.uint64]:
        """Return the keys of the best `count` rows; they change only if a better row is found."""
        return self._keys[:count]

    def candidates(self, steps: int, rng: np.random.Generator) -> Candidates:
        """Return all kept rows, filled up with random rows if there are fewer than a plan."""
        if len(self) < min(ENOUGH, self._limit):
            extra = unvisited(self.space, self.history, ENOUGH, rng)
            if len(extra):
                self.evaluate(extra)
        return Candidates(self.rows, self.scores, self._std, steps)


class Islands:
    """A pool for every sketch, with one prediction for all of them.

    One prediction is cheaper, as half of the cost of a prediction is the call itself. The arguments
    are those of `Pool`; `keep` is divided equally among the sketches.
    """

    def __init__(
        self, space: DesignSpace, model: Surrogate, history: History, keep: int = KEEP
    ) -> None:
        self._space, self._model = space, model
        count = len(space.sketches)
        self._pools = [Pool(space, model, history, -(-keep // count)) for _ in range(count)]

    def evaluate(self, rows: IntArray) -> FloatArray:
        """See `Pool.evaluate`."""
        mean, std = self._model.predict(rows)
        for sketch, pool in enumerate(self._pools):
            mine = rows[:, 0] == sketch
            pool.offer(rows[mine], mean[mine], std[mine])
        return mean

    def candidates(self, steps: int, rng: np.random.Generator) -> Candidates:
        """See `Pool.candidates`."""
        parts = [pool.candidates(0, rng) for pool in self._pools]
        return replace(union(self._space, parts), steps=steps)


def unvisited(
    space: DesignSpace, history: History, count: int, rng: np.random.Generator
) -> IntArray:
    """Draw distinct unvisited rows uniformly.

    Args:
        space: The design space of the task.
        history: The outcomes of the task so far.
        count: The number of rows to draw.
        rng: The source of randomness.

    Returns:
        The rows, shape (m, 1 + width) with m <= count. If fewer are left, a small space returns all
        of them; a space that is too large to enumerate may return fewer although more are left.
    """
    if space.count <= ENUMERABLE:
        rows = space.unique(enumerate_rows(space))
        rows = rows[~history.visited(rows)]
        return rows[rng.permutation(len(rows))[:count]]
    found = np.zeros((0, 1 + space.width), dtype=np.int32)
    for _ in range(_ATTEMPTS):
        drawn = space.sample(count, rng)
        found = space.unique(np.concatenate([found, drawn[~history.visited(drawn)]]))
        if len(found) >= count:
            break
    return found[:count]


def enumerate_rows(space: DesignSpace) -> IntArray:
    """Return every configuration of a small space, shape (count, 1 + width).

    The rows are canonical and may contain duplicates.
    """
    rows = np.zeros((space.count, 1 + space.width), dtype=np.int32)
    start = 0
    for number, sketch in enumerate(space.sketches):
        block = rows[start : start + sketch.count]
        block[:, 0] = number
        block[:, 1 : 1 + len(sketch.knobs)] = sketch.every()
        start += sketch.count
    return space.canonical(rows)


def unscored(
    space: DesignSpace, history: History, rng: np.random.Generator, count: int = KEEP
) -> Candidates:
    """Draw random unvisited candidates, which every explorer proposes before the model is fitted.

    Args:
        space: The design space of the task.
        history: The outcomes of the task so far.
        rng: The source of randomness.
        count: The number of candidates to draw.

    Returns:
        The candidates, with scores and uncertainties of zero.
    """
    rows = unvisited(space, history, count, rng)
    return Candidates(rows, np.zeros(len(rows)), np.zeros(len(rows)))


class RandomExplorer:
    """Explorer that draws uniform samples and keeps the best of them by the model.

    Attributes:
        samples: The number of rows drawn per round; the best `keep` of them are candidates. If both
            numbers are equal, the candidates are in the order of the draw, whatever the model
            predicts, so that a sampler of the first ones is random search.
        keep: The number of candidates per round.
    """

    def __init__(self, samples: int = KEEP, keep: int = KEEP) -> None:
        self.samples, self.keep = samples, keep

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a round is one step."""
        if not model.fitted:
            return unscored(space, history, rng, self.keep)
        rows = unvisited(space, history, self.samples, rng)
        mean, std = model.predict(rows) if len(rows) else (np.zeros(0), np.zeros(0))
        drawn = Candidates(rows, mean, std, 1)
        if len(drawn) <= self.keep:
            return drawn
        return drawn.take(np.argsort(-mean, kind="stable")[: self.keep])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: there is nothing to learn."""
