"""K-means with a growing number of clusters, stopped at the knee of its loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from chameleon_tuner.system.interrupts import held_back

FloatArray = npt.NDArray[np.float64]


def standardised(features: npt.NDArray[np.floating]) -> FloatArray:
    """Scale features, shape (n, d), to mean 0 and variance 1; constant features become 0."""
    if not len(features):
        return features.astype(np.float64)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 1e-9, spread, 1.0))


def squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the squared distances of all pairs of rows: (n, d) and (m, d) give (n, m)."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))


Labels = npt.NDArray[np.int64]


class Clustering(NamedTuple):
    """A clustering of n points into k clusters.

    Attributes:
        labels: The cluster of each point, shape (n,).
        centres: The centre of each cluster, shape (k, d).
        loss: The weighted sum of squared distances to the centres.
    """

    labels: Labels
    centres: FloatArray
    loss: float


PastKnee = Callable[[Sequence[float]], bool]
"""A rule that returns whether the last increase of k did not pay.

Its argument is the list of losses, first that of a single cluster, then those of growing k.
"""


@dataclass(frozen=True)
class RatioKnee:
    """The paper's rule, which stops once threshold * loss(k) >= loss(previous k).

    Attributes:
        threshold: The ratio of losses, 2.5 in the published code. In more than a few dimensions no
            step of 8 divides the loss by that much (measured: 1.2 to 1.4 from 8 to 16, 1.1 from 56
            to 64), so that every batch stays at the first k.
    """

    threshold: float = 2.5

    def __call__(self, losses: Sequence[float]) -> bool:
        """See `PastKnee`."""
        return len(losses) > 2 and self.threshold * losses[-1] >= losses[-2]


@dataclass(frozen=True)
class GainKnee:
    """A rule that stops once an increase of k lowers the loss by too little.

    Unlike the ratio of two losses, it does not stop early if there are very many clusters.

    Attributes:
        share: The least decrease, as a share of the loss of a single cluster. With 0.08, batches
            have 16 to 24 candidates on the proposals of annealing. With 0.04 they have 32, and
            simulated searches are worse for the same number of measurements.
    """

    share: float = 0.08

    def __call__(self, losses: Sequence[float]) -> bool:
        """See `PastKnee`."""
        return len(losses) > 2 and losses[-2] - losses[-1] < self.share * losses[0]


def grown(
    points: FloatArray, weights: FloatArray, sizes: Sequence[int], past: PastKnee, seed: int
) -> Clustering:
    """Return the clustering of points with the last number of clusters before the knee.

    Args:
        points: At least one point, shape (n, d).
        weights: The positive weights of the points, shape (n,).
        sizes: The numbers of clusters to try, in rising order; they are limited to the number of
            distinct points.
        past: The rule that says when to stop.
        seed: The seed of k-means.

    Returns:
        The clustering.
    """
    kept = _single(points, weights)
    losses = [kept.loss]
    # Several threads would add sums in varying order, and the result would not be reproducible.
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
    from sklearn.cluster import KMeans  # takes a second, so not before the first batch runs
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(points, axis=0))
    for size in sorted({min(size, distinct) for size in sizes}):
        model = KMeans(size, n_init=2, max_iter=30, algorithm="lloyd", random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # about clusters left empty
            model.fit(points, sample_weight=weights)
        used, labels = np.unique(model.labels_, return_inverse=True)
        yield Clustering(
            labels.astype(np.int64), model.cluster_centers_[used], float(model.inertia_)
        )


def medoids(points: FloatArray, clustering: Clustering) -> Labels:
    """Return the position of each cluster's member that is nearest to its centre, shape (k,)."""
    squares = squared_distances(points, clustering.centres)
    mine = clustering.labels[:, None] == np.arange(len(clustering.centres))
    return np.asarray(np.where(mine, squares, np.inf).argmin(axis=0))
