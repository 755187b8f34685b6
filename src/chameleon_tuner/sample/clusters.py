"""K-means with a growing number of clusters, stopped at the knee of its loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from chameleon_tuner.interrupts import held_back
from chameleon_tuner.sample.geometry import FloatArray, squared_distances

Labels = npt.NDArray[np.int64]


class Clustering(NamedTuple):
    """Attributes: labels (n,) of the points, centres (k, d), loss: weighted sum of squares."""

    labels: Labels
    centres: FloatArray
    loss: float


PastKnee = Callable[[Sequence[float]], bool]
"""Whether the last growth of the losses (of one cluster, then of growing k) did not pay."""


@dataclass(frozen=True)
class RatioKnee:
    """The paper's rule: past the knee once threshold * loss(k) >= loss(previous k).

    Attributes:
        threshold: 2.5 in the published code. In more than a few dimensions no step of 8 divides
            the loss by that (measured: 1.2 to 1.4 for 8 to 16, 1.1 for 56 to 64), and every
            batch stays at the first k.
    """

    threshold: float = 2.5

    def __call__(self, losses: Sequence[float]) -> bool:
        """See `PastKnee`."""
        return len(losses) > 2 and self.threshold * losses[-1] >= losses[-2]


@dataclass(frozen=True)
class GainKnee:
    """Past the knee once a growth explains too little of what one cluster leaves unexplained.

    Unlike the ratio of two losses it does not stop early where there are very many clusters.

    Attributes:
        share: of the loss of a single cluster. With 0.08 batches are of 16 to 24 on what annealing
            proposes; with 0.04 they are of 32, and in simulated searches worse for the same
            number of measurements.
    """

    share: float = 0.08

    def __call__(self, losses: Sequence[float]) -> bool:
        """See `PastKnee`."""
        return len(losses) > 2 and losses[-2] - losses[-1] < self.share * losses[0]


def grown(
    points: FloatArray, weights: FloatArray, sizes: Sequence[int], past: PastKnee, seed: int
) -> Clustering:
    """The clustering of points (n, d) at the last size before the knee.

    Args:
        points: at least one.
        weights: of the points, (n,), positive.
        sizes: how many clusters to try, rising; those above the number of distinct points are
            left out.
        past: says where to stop.
        seed: of k-means.
    """
    kept = _single(points, weights)
    losses = [kept.loss]
    # One thread: several add their sums in any order, and the result would not repeat.
    with held_back():
        one_thread = threadpool_limits(limits=1)
    with one_thread:
        for clustering in _clusterings(points, weights, sizes, seed):
            losses.append(clustering.loss)
            if past(losses):
                break
            kept = clustering
    return kept


def _single(points: FloatArray, weights: FloatArray) -> Clustering:
    centre = np.average(points, axis=0, weights=weights)[None, :]
    loss = float(weights @ ((points - centre) ** 2).sum(axis=1))
    return Clustering(np.zeros(len(points), dtype=np.int64), centre, loss)


def _clusterings(
    points: FloatArray, weights: FloatArray, sizes: Sequence[int], seed: int
) -> Iterator[Clustering]:
    from sklearn.cluster import KMeans  # a second to import: not before the first batch runs
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(points, axis=0))
    for size in sorted({min(size, distinct) for size in sizes}):
        model = KMeans(size, n_init=2, max_iter=30, algorithm="lloyd", random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of clusters left empty
            model.fit(points, sample_weight=weights)
        used, labels = np.unique(model.labels_, return_inverse=True)
        yield Clustering(
            labels.astype(np.int64), model.cluster_centers_[used], float(model.inertia_)
        )


def medoids(points: FloatArray, clustering: Clustering) -> Labels:
    """The point of every cluster that is nearest to its centre: (k,) positions."""
    squares = squared_distances(points, clustering.centres)
    mine = clustering.labels[:, None] == np.arange(len(clustering.centres))
    return np.asarray(np.where(mine, squares, np.inf).argmin(axis=0))
