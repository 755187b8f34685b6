"""Adaptive sampling with sample synthesis (Chameleon, section 3.3 and algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.base import by_score, completed, fresh, random_share
from chameleon_tuner.search.sample.clusters import (
    GainKnee,
    Labels,
    PastKnee,
    grown,
    medoids,
    standardised,
)
from chameleon_tuner.space import DesignSpace, IntArray

FloatArray = npt.NDArray[np.float64]


def synthesise(space: DesignSpace, rows: IntArray, labels: Labels, weights: FloatArray) -> IntArray:
    """Compute the per-knob mode of every cluster.

    The sketch of a cluster is its most common one, and only members of that sketch vote on the
    knobs. Votes are weighted; ties go to the smaller index.

    Args:
        space: The design space of the rows.
        rows: The members of all clusters, shape (n, 1 + width).
        labels: The cluster of each row, from 0 to k - 1, shape (n,); every cluster has members.
        weights: The positive weights of the votes, shape (n,).

    Returns:
        A canonical row for each cluster, shape (k, 1 + width).
    """
    sketch = modes(rows[:, :1], labels, weights)[:, 0]
    agree = rows[:, 0] == sketch[labels]
    return space.canonical(modes(rows[agree], labels[agree], weights[agree]))


def modes(values: IntArray, labels: Labels, weights: FloatArray) -> IntArray:
    """Return the value with the largest total weight in every column of every cluster.

    Args:
        values: The values, not negative, shape (n, m).
        labels: The cluster of each row, from 0 to k - 1, shape (n,).
        weights: The weight of each row, shape (n,).

    Returns:
        The modes, shape (k, m).
    """
    clusters, span = int(labels.max()) + 1, int(values.max()) + 1
    columns = np.arange(values.shape[1])
    bins = (labels[:, None] * len(columns) + columns) * span + values
    votes = np.bincount(
        bins.ravel(), np.repeat(weights, len(columns)), clusters * len(columns) * span
    )
    most = votes.reshape(clusters, len(columns), span).argmax(axis=2)
    return np.asarray(most, dtype=np.int32)


_LEAST = -10.0
"""The logarithm of the smallest weight, so that the worst candidates still have a vote."""


@dataclass(frozen=True)
class AdaptiveSampler:
    """Sampler that measures one representative of each cluster of candidates.

    The candidates and the fastest measured configurations (anchors) are clustered in the
    standardised encoding, weighted by their speed. The number of clusters grows until the loss
    stops falling fast. The representative of a cluster is its medoid. If the medoid was measured
    already, it is the per-knob mode of the cluster; if that was visited too, it is the best
    unmeasured member.
    """

    step: int = 8
    """The first number of clusters, and its increment (8, 16, ... 64 in the paper)."""
    past_knee: PastKnee = field(default_factory=GainKnee)
    """The rule that ends the growth of the number of clusters; the paper's is `RatioKnee`."""
    most: int = 256
    """The number of candidates to cluster, the best by score; k-means is fast on hundreds."""
    anchors: int = 64
    """The number of the fastest measured configurations that are clustered with the candidates."""
    epsilon: float = 0.05
    """The random share of the measured batch. AutoTVM and the paper take 0.05 of the plan."""

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """See `Sampler.select`."""
        points = self.points(candidates, history)
        chosen = points.rows[:0]
        if not points.measured.all():
            clusters = self.clusters(points, history, plan, rng)
            chosen = representatives(points, *clusters, history)
        count = max(len(chosen), min(self.step, plan))
        extra = random_share(count, self.epsilon / (1 - self.epsilon), rng)
        return completed(chosen, history, min(count + extra, plan), rng)

    def points(self, candidates: Candidates, history: History) -> Points:
        """Return the points to cluster: the best candidates and the anchors."""
        usable = fresh(candidates, history)
        return with_anchors(
            usable.take(by_score(usable.scores)[: self.most]), history, self.anchors
        )

    def clusters(
        self, points: Points, history: History, plan: int, rng: np.random.Generator
    ) -> tuple[Labels, Labels]:
        """Cluster points, with a growing number of clusters.

        Args:
            points: The n points to cluster.
            history: The outcomes of the task so far; it holds the design space.
            plan: The largest batch, which limits the number of clusters.
            rng: The source of the seed of k-means.

        Returns:
            The position of each cluster's medoid, shape (k,), and the cluster of each point,
            shape (n,).
        """
        encoding = standardised(history.space.encode(points.rows))
        largest = max(1, plan - round(self.epsilon * plan))
        sizes = [*range(self.step, largest, self.step), largest]
        seed = int(rng.integers(2**31))
        clustering = grown(encoding, points.weights, sizes, self.past_knee, seed)
        return medoids(encoding, clustering), clustering.labels


class Points(NamedTuple):
    """Points to cluster.

    Attributes:
        rows: Configurations, shape (n, 1 + width).
        weights: Positive weights by predicted or measured speed, shape (n,).
        measured: Whether each point was measured already, shape (n,).
    """

    rows: IntArray
    weights: npt.NDArray[np.float64]
    measured: npt.NDArray[np.bool_]


def with_anchors(best: Candidates, history: History, anchors: int) -> Points:
    """Combine candidates with the fastest measured configurations, weighted by their speed.

    Args:
        best: The candidates.
        history: The outcomes of the task so far.
        anchors: The largest number of measured configurations.

    Returns:
        The candidates, then the measured configurations.
    """
    order = np.argsort(history.seconds, kind="stable")[:anchors]
    order = order[np.isfinite(history.seconds[order])]
    seconds = history.seconds[order]
    scores = np.concatenate([best.scores, np.log(seconds.min(initial=np.inf) / seconds)])
    weights = np.exp(np.maximum(scores - scores.max(initial=-np.inf), _LEAST))
    measured = np.arange(len(scores)) >= len(best)
    return Points(np.concatenate([best.rows, history.rows[order]]), weights, measured)


class Origin(IntEnum):
    """The kind of row that represents a cluster."""

    MEDOID = 0
    SYNTHESISED = 1
    MEMBER = 2
    """The best unmeasured member of the cluster."""
    NOTHING = 3
    """There is no representative: all members of the cluster were measured."""


def representatives(points: Points, centres: Labels, labels: Labels, history: History) -> IntArray:
    """Return one unvisited row for every cluster that has one.

    Args:
        points: The n points that were clustered.
        centres: The position of each cluster's medoid, shape (k,).
        labels: The cluster of each point, shape (n,).
        history: The outcomes of the task so far.

    Returns:
        Distinct rows, shape (m, 1 + width) with m <= k.
    """
    rows, origins = stand_ins(points, centres, labels, history)
    return history.space.unique(rows[origins != Origin.NOTHING])


def stand_ins(
    points: Points, centres: Labels, labels: Labels, history: History
) -> tuple[IntArray, Labels]:
    """Choose the row that represents each cluster.

    Args:
        points: The n points that were clustered.
        centres: The position of each cluster's medoid, shape (k,).
        labels: The cluster of each point, shape (n,).
        history: The outcomes of the task so far.

    Returns:
        The rows, shape (k, 1 + width), and the `Origin` of each, shape (k,). A row with the origin
        `NOTHING` has no meaning.
    """
    keys = history.space.keys
    rows = points.rows[centres]
    taken = points.measured[centres]
    made = synthesise(history.space, points.rows, labels, points.weights)
    rows = np.where(taken[:, None], made, rows)
    stale = taken & (history.visited(rows) | np.isin(keys(rows), keys(rows[~taken])))
    members, exists = best_members(points, labels)
    rows = np.where(stale[:, None], points.rows[members], rows)
    origins = np.select(
        [~taken, ~stale, exists],
        [Origin.MEDOID, Origin.SYNTHESISED, Origin.MEMBER],
        Origin.NOTHING,
    )
    return rows, origins


def best_members(points: Points, labels: Labels) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the position of each cluster's best unmeasured member, and whether it has one.

    Both arrays have shape (k,).
    """
    worth = np.where(points.measured, -np.inf, points.weights)
    mine = np.where(labels[:, None] == np.arange(labels.max() + 1), worth[:, None], -np.inf)
    return mine.argmax(axis=0), np.isfinite(mine.max(axis=0))
