"""The plot of one round of adaptive sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from chameleon_tuner.report.compare.clusters import ClusterRound, FloatArray
from chameleon_tuner.report.compare.style import GREY, INK, Drawing, canvas
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.sample.adaptive import Origin

_COLOURS = np.array(
    # Tol's muted palette: neighbouring clusters differ, though not all of many do.
    ["#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#aa4499"]
)
_MARKS = {
    Origin.MEDOID: ("o", "none", "chosen: medoid"),
    Origin.SYNTHESISED: ("*", "#d55e00", "chosen: synthesised"),
    Origin.MEMBER: ("D", "#f0e442", "chosen: best member"),
}


def scatter(seen: ClusterRound) -> Drawing:
    """Visited, measured before, centroids, and what was chosen to be measured."""
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
