"""Clusters of an adaptive sampler's round, and the figure that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.report.style import GREY, INK, Drawing, canvas
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.adaptive import AdaptiveSampler, Origin, Points, stand_ins
from chameleon_tuner.search.sample.clusters import Labels
from chameleon_tuner.space import DesignSpace, IntArray

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterRound:
    """The input and the choice of a sampler in one round.

    Positions are coordinates along two principal components, shape (., 2).

    Attributes:
        points: Positions of the clustered configurations, (n, 2).
        labels: The cluster of each point, (n,).
        weights: Predicted speed of each point relative to the fastest, in (0, 1], (n,).
        measured: Whether each point was measured in an earlier round, (n,).
        centroids: Weighted means of the clusters, (k, 2).
        chosen: Positions of the clusters' representatives, (k, 2).
        origins: Origin of each representative, (k,); see `Origin`. Those with `NOTHING` are not
            measured.
        random: Positions of the random share of the batch, (r, 2).
        explained: Share of the variance along each component, (2,).
        task: Name of the task; empty if it is not given.
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
    """Repeat the steps of `sampler.select` and return its input and choice.

    Args:
        history: What was measured before the round.
        candidates: Candidates of the explorer.
        sampler: The sampler.
        plan: The most candidates that the sampler may choose.
        seed: Seed of the sampler's generator.
        task: Name of the task.

    Returns:
        The round, projected onto two dimensions.

    Raises:
        UsageError: If there are too few configurations for a projection.
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
    """The first two principal components of the standardised encoding of clustered points."""

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
        """Return the positions (n, 2) of rows (n, 1 + width)."""
        if not len(rows):
            return np.zeros((0, 2))
        encoding = self._scaler.transform(self._encode(rows).astype(np.float64))
        return np.pad(self._pca.transform(encoding), ((0, 0), (0, self._missing)))


def _means(places: FloatArray, labels: Labels, weights: FloatArray) -> FloatArray:
    """Return the weighted means of the clusters.

    The projection is linear, so these are the projected centroids.
    """
    sums = np.stack([np.bincount(labels, weights * column) for column in places.T], axis=1)
    return np.asarray(sums / np.bincount(labels, weights)[:, None])


_COLOURS = np.array(
    # Tol's muted palette. Successive clusters differ in colour; with more clusters it repeats.
    ["#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#aa4499"]
)


_MARKS = {
    Origin.MEDOID: ("o", "none", "chosen: medoid"),
    Origin.SYNTHESISED: ("*", "#d55e00", "chosen: synthesised"),
    Origin.MEMBER: ("D", "#f0e442", "chosen: best member"),
}


def scatter(seen: ClusterRound) -> Drawing:
    """Draw the visited and the earlier measured points, the centroids and the chosen points."""
    figure = canvas(6.4)
    axes = figure.subplots()
    axes.grid(visible=True)
    _visited(axes, seen)
    _chosen(axes, seen)
    for name, share, label in zip("xy", seen.explained, ("first", "second"), strict=True):
        text = f"{label} principal component ({share:.0%} of the variance)"
        axes.set(**{f"{name}label": text})
    figure.legend(handles=_legend(seen), loc="outside right upper", labelspacing=0.9)
    kept = seen.origins != Origin.NOTHING
    caption = (
        f"One round of adaptive sampling{f' on {seen.task}' if seen.task else ''}: "
        f"{plural(int((~seen.measured).sum()), 'candidate')} and "
        f"{plural(int(seen.measured.sum()), 'configuration')} measured before, in "
        f"{plural(len(seen.origins), 'cluster')}; {int(kept.sum())} representatives and "
        f"{len(seen.random)} random ones were chosen. Colours tell clusters apart, and "
        "repeat; the larger a point, the faster it is predicted to be; grey lines lead "
        "from a cluster's centroid to what was chosen for it. The plane holds "
        f"{sum(seen.explained):.0%} of the variance: clusters that overlap in it may lie apart."
    )
    return Drawing("clusters", "A round of adaptive sampling", caption, figure)


def _visited(axes: Axes, seen: ClusterRound) -> None:
    new, old = ~seen.measured, seen.measured
    _marks(
        axes,
        seen.points[new],
        s=10 + 70 * seen.weights[new],
        c=_COLOURS[seen.labels[new] % len(_COLOURS)],
        alpha=0.5,
        linewidths=0,
        zorder=2,
    )
    _marks(axes, seen.points[old], s=26, c=GREY, marker="x", linewidths=1.2, zorder=2.5)


def _marks(axes: Axes, places: FloatArray, **looks: Any) -> None:
    axes.scatter(places[:, 0], places[:, 1], **looks)


def _chosen(axes: Axes, seen: ClusterRound) -> None:
    kept = seen.origins != Origin.NOTHING
    lines = np.stack([seen.centroids[kept], seen.chosen[kept]], axis=1)
    for line in lines:
        axes.plot(*line.T, color=GREY, linewidth=0.9, zorder=3)
    _marks(axes, seen.centroids, s=60, c=INK, marker="+", linewidths=1.4, zorder=4)
    for origin, (marker, face, _) in _MARKS.items():
        places = seen.chosen[seen.origins == origin]
        size = 170 if marker == "*" else 85
        _marks(
            axes,
            places,
            s=size,
            marker=marker,
            facecolors=face,
            edgecolors=INK,
            linewidths=1.3,
            zorder=5,
        )
    _marks(
        axes,
        seen.random,
        s=60,
        marker="^",
        facecolors="white",
        edgecolors=INK,
        linewidths=1.3,
        zorder=5,
    )


def _legend(seen: ClusterRound) -> list[Line2D]:
    marks = [
        ("o", _COLOURS[2], "none", "visited by the explorer", True),
        ("x", GREY, GREY, "measured before", bool(seen.measured.any())),
        ("+", INK, INK, "centroid of a cluster", True),
        *(
            (marker, face, INK, label, bool((seen.origins == origin).any()))
            for origin, (marker, face, label) in _MARKS.items()
        ),
        ("^", "white", INK, "chosen: random", len(seen.random) > 0),
    ]
    return [
        Line2D(
            [], [], linestyle="", marker=marker, markerfacecolor=face, markeredgecolor=edge,
            markersize=13 if marker == "*" else 9, label=label,
        )
        for marker, face, edge, label, present in marks
        if present
    ]  # fmt: skip
