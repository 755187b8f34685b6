"""One round of adaptive sampling, flattened to two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.errors import UsageError
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.history import History
from chameleon_tuner.sample.adaptive import AdaptiveSampler, Points, stand_ins
from chameleon_tuner.sample.clusters import Labels
from chameleon_tuner.space import DesignSpace, IntArray

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterRound:
    """What a sampler saw and chose in one round; places are (., 2), in principal components.

    Attributes:
        points: places of what was clustered, (n, 2).
        labels: the cluster of each, (n,).
        weights: predicted speed relative to the fastest, above 0 and up to 1, (n,).
        measured: whether measured in an earlier round, (n,).
        centroids: weighted means of the clusters, (k, 2).
        chosen: what represents each cluster, (k, 2).
        origins: how each came to be, (k,); see `Origin`. Those of `NOTHING` are not measured.
        random: places of the random share of the batch, (r, 2).
        explained: share of the variance along either component, (2,).
        task: name of the task; empty where the round has none.
    """

    points: FloatArray
    labels: Labels
    weights: FloatArray
    measured: npt.NDArray[np.bool_]
    centroids: FloatArray
    chosen: FloatArray
    origins: Labels
    random: FloatArray
    explained: tuple[float, float]
    task: str = ""


def cluster_round(
    history: History,
    candidates: Candidates,
    sampler: AdaptiveSampler,
    plan: int,
    seed: int,
    task: str = "",
) -> ClusterRound:
    """What `sampler.select` does with these arguments and a generator of this seed.

    Raises:
        UsageError: there are too few configurations to be seen in a plane.
    """
    space = history.space
    points = sampler.points(candidates, history)
    if points.measured.all() or len(space.unique(points.rows)) < 3:
        raise UsageError("the round has fewer than 3 configurations: choose an earlier one")
    centres, labels = sampler.clusters(points, history, plan, np.random.default_rng(seed))
    rows, origins = stand_ins(points, centres, labels, history)
    batch = sampler.select(candidates, history, plan, np.random.default_rng(seed))
    drawn = batch[~np.isin(space.keys(batch), space.keys(rows))]
    flat = _Plane(space, points)
    places = flat(points.rows)
    return ClusterRound(
        places,
        labels,
        points.weights,
        points.measured,
        _means(places, labels, points.weights),
        flat(rows),
        origins,
        flat(drawn),
        flat.explained,
        task,
    )


class _Plane:
    """The two principal components of the standardised encoding of what was clustered."""

    def __init__(self, space: DesignSpace, points: Points) -> None:
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        self._encode = space.encode
        encoding = space.encode(points.rows).astype(np.float64)
        self._scaler = StandardScaler().fit(encoding)
        self._missing = 2 - min(2, *encoding.shape)
        self._pca = PCA(2 - self._missing).fit(self._scaler.transform(encoding))
        first, second = np.pad(self._pca.explained_variance_ratio_, (0, self._missing))
        self.explained = float(first), float(second)

    def __call__(self, rows: IntArray) -> FloatArray:
        """Places of rows (n, 1 + width): (n, 2)."""
        if not len(rows):
            return np.zeros((0, 2))
        encoding = self._scaler.transform(self._encode(rows).astype(np.float64))
        return np.pad(self._pca.transform(encoding), ((0, 0), (0, self._missing)))


def _means(places: FloatArray, labels: Labels, weights: FloatArray) -> FloatArray:
    """Weighted means of the clusters: the plane is linear, so these are their centroids in it."""
    sums = np.stack([np.bincount(labels, weights * column) for column in places.T], axis=1)
    return np.asarray(sums / np.bincount(labels, weights)[:, None])
