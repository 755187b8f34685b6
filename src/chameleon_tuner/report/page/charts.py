"""The charts of the page that have axes: the curve of the search, and the roofline."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chameleon_tuner.bench.profiling import Profile
from chameleon_tuner.ports.handler import TUNED
from chameleon_tuner.report.numbers import significant
from chameleon_tuner.report.page.search import Search
from chameleon_tuner.report.profile import roofline
from chameleon_tuner.report.result import Result
from chameleon_tuner.report.style import GREY, INK, inlined, saved, styled

WIDE_IN, NARROW_IN = 10.4, 3.9
"""Widths of the two forms of every chart: 1,000 pixels, and the width of a telephone."""

_TUNED, _OTHER = "#d55e00", "#0072b2"
_THEME = {
    INK: "var(--ink)",
    GREY: "var(--before)",
    _TUNED: "var(--after)",
    _OTHER: "var(--other)",
    "#999999": "var(--axis)",
    "#555555": "var(--muted)",
    "#e6e6e6": "var(--rule)",
}
"""What colours of the style are on the page, where they follow the reader's light or dark."""
_LOWEST_LABEL = 0.08
"""The height from which on there is room for a label below a line, in that of the chart."""


@dataclass(frozen=True)
class Chart:
    """A chart for wide and for narrow screens, whose text can be selected.

    Attributes:
        wide: SVG for a screen with room.
        narrow: SVG for a telephone.
    """

    wide: Markup
    narrow: Markup


def network_chart(search: Search, result: Result) -> Chart:
    """Draw the best-so-far time of all kernels, with the latencies of whole models."""
    return _chart("network", lambda width: _network(search, result, width))


def roofline_chart(found: Profile) -> Chart:
    """Draw the kernels of a profile under the roofline of the machine."""
    return _chart("roofline", lambda width: roofline(found, width, titled=False))


def _chart(name: str, draw: Callable[[float], Figure]) -> Chart:
    with styled():
        mpl.rcParams.update({"svg.fonttype": "none", "savefig.transparent": True})
        made = [_svg(f"{name}-{number}", draw(w)) for number, w in enumerate((WIDE_IN, NARROW_IN))]
    return Chart(*made)


_PATH, _DIGITS = re.compile(r'(?<=<path d=")[^"]*'), re.compile(r"(\.\d\d)\d+")


def _svg(name: str, figure: Figure) -> Markup:
    drawn = saved(figure, "svg").decode()
    short = _PATH.sub(lambda path: _DIGITS.sub(r"\1", path[0]), drawn)  # of a pixel's hundredth
    return inlined(short, name, _THEME)


def _network(search: Search, result: Result, width_in: float) -> Figure:
    figure = Figure(figsize=(width_in, 3.4))  # the constrained layout takes as long as the drawing
    axes = figure.add_axes((0.62 / width_in, 0.16, 1 - 0.75 / width_in, 0.81))
    steps = search.network_ms
    x, y = [*steps.trials, steps.end], [*steps.values, steps.values[-1]]
    axes.plot(x, y, drawstyle="steps-post", color=_TUNED, linewidth=2)
    levels = {name: ms for name, ms in result.latency_ms.items() if math.isfinite(ms)}
    # A model that is many times slower, such as an untuned one, would flatten the curve.
    most = 2 * max([*steps.values, levels.get(TUNED, 0.0)])
    shown = {name: ms for name, ms in levels.items() if ms <= most}
    top = 1.15 * max([*steps.values, *shown.values()])
    for number, (name, ms) in enumerate(sorted(shown.items(), key=lambda level: level[1])):
        colour = _TUNED if name == TUNED else _OTHER
        axes.axhline(ms, color=colour, linestyle="--", linewidth=1.1)
        below = number == 0 and len(shown) > 1 and ms > _LOWEST_LABEL * top
        axes.annotate(
            f"{name}, whole model: {significant(ms)} ms",
            (steps.end, ms),
            (-4, -12 if below else 4),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
    axes.set(xlim=(0, max(1, steps.end)), ylim=(0, top))
    axes.xaxis.set_major_locator(MaxNLocator(6 if width_in == WIDE_IN else 4, integer=True))
    axes.set_xlabel("trials of all kernels")
    axes.set_ylabel("ms, sum of the kernels' calls")
    axes.grid(visible=True)
    return figure
