"""What a search over the model found: the best distinct unvisited rows, in one place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import FloatArray, Surrogate
from chameleon_tuner.explore.base import Candidates, union
from chameleon_tuner.history import History
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.distinct import first_of_each

KEEP = 512
"""Candidates a search hands on: AutoTVM keeps a plan of 64, times a diversity factor of up to 8
where its filter is to choose; the adaptive sampler is such a filter, and its k-means is quick on
hundreds of points and not on thousands."""

ENOUGH = 64
"""A search that found fewer candidates than a plan is filled up with random ones."""

ENUMERABLE = 1 << 15
"""Spaces of up to so many configurations are listed instead of sampled (30 ms)."""

_ATTEMPTS = 8
"""How often unvisited rows of a larger space are drawn before fewer are returned."""


class Pool:
    """Predicts rows and keeps the best that are distinct and unvisited.

    Every row a search looks at goes through `evaluate`, so that nothing it saw is lost. Of rows
    with equal scores the first seen stays.

    Attributes:
        space: of the task.
        history: of the task.
        rows: the best rows so far, best first, (m, 1 + width), m <= keep.
        scores: their predictions, (m,).
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
        """The model's scores (n,) of rows (n, 1 + width); the best of them are kept."""
        mean, std = self._model.predict(rows)
        self.offer(rows, mean, std)
        return mean

    def offer(self, rows: IntArray, mean: FloatArray, std: FloatArray) -> None:
        """Keep the best of rows (n, 1 + width) that were predicted, (n,) both."""
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
        """Keys of the best `count`: equal as long as nothing better was found."""
        return self._keys[:count]

    def candidates(self, steps: int, rng: np.random.Generator) -> Candidates:
        """All that was kept; filled up with random rows where that is less than a plan."""
        if len(self) < min(ENOUGH, self._limit):
            extra = unvisited(self.space, self.history, ENOUGH, rng)
            if len(extra):
                self.evaluate(extra)
        return Candidates(self.rows, self.scores, self._std, steps)


class Islands:
    """A pool for every sketch, and one prediction for all of them: half of its cost is the call.

    Args: see `Pool`; the sketches share what is kept.
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
    """At most `count` distinct unvisited rows, uniformly drawn; all that are left if fewer.

    In a space that is too large to be listed there may be fewer although some are left.
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
    """Every configuration of a small space, canonical, with repeats: (count, 1 + width)."""
    rows = np.zeros((space.count, 1 + space.width), dtype=np.int32)
    start = 0
    for number, sketch in enumerate(space.sketches):
        block = rows[start : start + sketch.count]
        block[:, 0] = number
        if sketch.knobs:
            indices = np.unravel_index(np.arange(sketch.count), sketch.sizes.tolist())
            block[:, 1 : 1 + len(sketch.knobs)] = np.stack(indices, axis=1)
        start += sketch.count
    return space.canonical(rows)


def unscored(
    space: DesignSpace, history: History, rng: np.random.Generator, count: int = KEEP
) -> Candidates:
    """Random unvisited candidates: what every explorer proposes before the model is fitted."""
    rows = unvisited(space, history, count, rng)
    return Candidates(rows, np.zeros(len(rows)), np.zeros(len(rows)))
