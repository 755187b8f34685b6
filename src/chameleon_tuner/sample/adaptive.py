"""Adaptive sampling with sample synthesis (Chameleon, section 3.3 and algorithm 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.clusters import GainKnee, Labels, PastKnee, grown, medoids
from chameleon_tuner.sample.geometry import standardised
from chameleon_tuner.sample.picks import by_score, completed, fresh, random_share
from chameleon_tuner.sample.synthesis import synthesise
from chameleon_tuner.space import IntArray

_LEAST = -10.0
"""Log of the smallest weight: what is predicted to be hopeless still has a vote."""


@dataclass(frozen=True)
class AdaptiveSampler:
    """Measures one representative of every cluster of what the explorer visited.

    Candidates and the fastest measured configurations (anchors) are clustered in the
    standardised encoding, weighted by predicted speed; the number of clusters grows until the
    loss stops falling. A cluster is represented by its medoid; where that was measured already,
    by the per-knob mode of the cluster, and where that was too, by its best unvisited member.
    """

    step: int = 8
    """The number of clusters grows by so many, and starts there (the paper's 8, 16, ... 64)."""
    past_knee: PastKnee = field(default_factory=GainKnee)
    """When to stop growing. The paper's rule is `RatioKnee`."""
    most: int = 256
    """Candidates that are clustered, the best by score: k-means is quick on hundreds."""
    anchors: int = 64
    """Measured configurations clustered with them, the fastest."""
    epsilon: float = 0.05
    """Random share of the batch that is sent (0.05 of the plan in AutoTVM and the paper)."""

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
        """What is clustered: the best of the candidates, and the anchors."""
        usable = fresh(candidates, history)
        return with_anchors(
            usable.take(by_score(usable.scores)[: self.most]), history, self.anchors
        )

    def clusters(
        self, points: Points, history: History, plan: int, rng: np.random.Generator
    ) -> tuple[Labels, Labels]:
        """Position of every cluster's medoid (k,), and the cluster of every point (n,)."""
        encoding = standardised(history.space.encode(points.rows))
        largest = max(1, plan - round(self.epsilon * plan))
        sizes = [*range(self.step, largest, self.step), largest]
        seed = int(rng.integers(2**31))
        clustering = grown(encoding, points.weights, sizes, self.past_knee, seed)
        return medoids(encoding, clustering), clustering.labels


class Points(NamedTuple):
    """What is clustered: rows (n, 1 + width), weights (n,), whether measured already (n,)."""

    rows: IntArray
    weights: npt.NDArray[np.float64]
    measured: npt.NDArray[np.bool_]


def with_anchors(best: Candidates, history: History, anchors: int) -> Points:
    """Candidates and the fastest measured configurations, weighted by their speed."""
    order = np.argsort(history.seconds, kind="stable")[:anchors]
    order = order[np.isfinite(history.seconds[order])]
    seconds = history.seconds[order]
    scores = np.concatenate([best.scores, np.log(seconds.min(initial=np.inf) / seconds)])
    weights = np.exp(np.maximum(scores - scores.max(initial=-np.inf), _LEAST))
    measured = np.arange(len(scores)) >= len(best)
    return Points(np.concatenate([best.rows, history.rows[order]]), weights, measured)


class Origin(IntEnum):
    """What represents a cluster."""

    MEDOID = 0
    SYNTHESISED = 1
    MEMBER = 2
    """Its best unmeasured one."""
    NOTHING = 3
    """All of it was measured."""


def representatives(points: Points, centres: Labels, labels: Labels, history: History) -> IntArray:
    """One unvisited row for every cluster that has one: (<= k, 1 + width).

    Args:
        points: what was clustered.
        centres: position of every cluster's medoid, (k,).
        labels: the cluster of every point, (n,).
        history: what was measured.
    """
    rows, origins = stand_ins(points, centres, labels, history)
    return history.space.unique(rows[origins != Origin.NOTHING])


def stand_ins(
    points: Points, centres: Labels, labels: Labels, history: History
) -> tuple[IntArray, Labels]:
    """The row that represents each cluster (k, 1 + width), and its `Origin` (k,)."""
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
    """Position of every cluster's best unmeasured member, and whether it has one: (k,) both."""
    worth = np.where(points.measured, -np.inf, points.weights)
    mine = np.where(labels[:, None] == np.arange(labels.max() + 1), worth[:, None], -np.inf)
    return mine.argmax(axis=0), np.isfinite(mine.max(axis=0))
