"""Best-so-far curves: a panel for every task, and all tasks together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.report.compare.steps import Axis, Band, bands, best_finals
from chameleon_tuner.report.compare.style import (
    Drawing,
    Stroke,
    canvas,
    legend_on_top,
    message,
    shortened,
    strokes,
)

AXES: tuple[Axis, Axis] = ("seconds", "measurements")

_TOP = 4.0
"""The latency axis ends here: what the first trials find is off by any factor."""
_LABELS = {"seconds": "seconds of the run", "measurements": "measurements of the run"}
_LATENCY = "latency / best final"
_HOW = (
    "Lines are geometric means over seeds, bands reach from the least to the largest of them; a "
    "run that has ended keeps its last figure. Every figure is of the neutral timer and of the "
    "incumbent at that point, so that a line rises where its tuner took a worse kernel for a "
    f"better one. The latency axis ends at {_TOP:g} times the best."
)


def by_task(curves: Sequence[Curve], axis: Axis) -> Drawing | None:
    """A panel for every task; None without curves."""
    if not curves:
        return None
    tasks = list(dict.fromkeys(curve.task for curve in curves))
    best = best_finals(curves)
    columns = min(4, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = canvas(0.7 + rows * (2.15 if rows > 1 else 3.4))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    found = {
        task: bands([c for c in curves if c.task == task], {task: best[task]}, axis)
        for task in tasks
        if task in best
    }
    drawn = strokes(list(dict.fromkeys(curve.recipe for curve in curves)))
    for panel, task in zip(panels, tasks, strict=False):
        panel.set_title(shortened(task, 128 // columns), loc="left")
        _draw(panel, found.get(task, {}), drawn)
    _rule(panels[0], [b for panel in found.values() for b in panel.values()])
    for panel in panels[len(tasks) :]:
        panel.remove()
    for panel in panels[max(0, len(tasks) - columns) : len(tasks)]:
        panel.tick_params(labelbottom=True)
    figure.supxlabel(_scale(axis), fontsize=10)
    figure.supylabel(f"{_LATENCY} of any recipe (log scale)", fontsize=10)
    legend_on_top(figure, drawn)
    caption = f"Each task against {_LABELS[axis]}: 1.0 is the best final latency of any recipe on "
    caption += f"that task. {_HOW}{_absent(curves, best)}"
    return Drawing(f"curves-{axis}", f"Best so far against {axis}", caption, figure)


def over_tasks(curves: Sequence[Curve]) -> Drawing | None:
    """The geometric mean over tasks, against both axes; None where no recipe has all tasks."""
    best = best_finals(curves)
    found = {axis: bands(curves, best, axis) for axis in AXES} if best else {}
    shown = [recipe for recipe in dict.fromkeys(c.recipe for c in curves) if _in(recipe, found)]
    if not shown:
        return None
    drawn = {r: s for r, s in strokes(_recipes(curves)).items() if r in shown}
    figure = canvas(4.4)
    for panel, axis in zip(figure.subplots(1, 2, sharey=True), AXES, strict=True):
        _draw(panel, found[axis], drawn)
        _rule(panel, list(found[axis].values()))
        panel.set_xlabel(_scale(axis))
    figure.axes[0].set_ylabel(f"{_LATENCY}, geomean (log scale)")
    legend_on_top(figure, drawn)
    caption = (
        f"Geometric mean over {len(best)} tasks of the latency relative to the best final one of "
        "any recipe on the task, from the moment every task has an incumbent; seconds and "
        f"measurements are of every task's own run. {_HOW}"
    )
    left = [recipe for recipe in _recipes(curves) if recipe not in shown]
    if left:
        caption += f" Not every task has a figure for: {', '.join(left)}."
    return Drawing("curves-all", "Best so far over all tasks", caption, figure)


def _recipes(curves: Iterable[Curve]) -> list[str]:
    return list(dict.fromkeys(curve.recipe for curve in curves))


def _in(recipe: str, found: Mapping[Axis, Mapping[str, Band]]) -> bool:
    return any(recipe in lines for lines in found.values())


def _draw(panel: Axes, lines: Mapping[str, Band], drawn: Mapping[str, Stroke]) -> None:
    panel.grid(visible=True)
    panel.axhline(1.0, color="#bbbbbb", linewidth=1)
    if not lines:
        message(panel, "nothing measured")
    for recipe, line in lines.items():
        s = drawn[recipe]
        if line.seeds > 1:
            panel.fill_between(
                line.x, line.low, line.high, step="post", color=s.colour, alpha=0.13, linewidth=0
            )
        panel.plot(
            line.x,
            line.middle,
            drawstyle="steps-post",
            color=s.colour,
            linestyle=s.dashes,
            linewidth=s.width,
            zorder=s.order,
        )


def _rule(panel: Axes, lines: Sequence[Band]) -> None:
    """Scales, limits and ticks that fit the lines."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    if not lines:
        panel.set_ylim(0.97, _TOP)
        return
    low = float(np.nanmin([np.nanmin(line.low) for line in lines]))
    high = float(np.nanmax([np.nanmax(line.high) for line in lines]))
    panel.set_ylim(min(0.97, 0.98 * low), min(_TOP, max(1.2, 1.05 * high)))
    end = max(line.x[-1] for line in lines)
    begin = min((x for line in lines for x in line.x[line.low <= _TOP][:1]), default=end)
    if begin < end:
        panel.set_xlim(begin, end)
    _tick(panel.yaxis, panel.get_ylim())
    _tick(panel.xaxis, panel.get_xlim())


def _tick(ruler: Ruler, limits: tuple[float, float]) -> None:
    """A few plain numbers on a logarithmic axis, however short."""
    span = limits[1] / limits[0]
    near = MaxNLocator(5, steps=[1, 2, 5, 10])
    far = LogLocator(subs=(1, 2, 5) if span < 200 else (1,))
    ruler.set_major_locator(near if span < 5 else far)
    ruler.set_minor_locator(NullLocator())
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))


def _scale(axis: Axis) -> str:
    return f"{_LABELS[axis]} (log scale)"


def _absent(curves: Sequence[Curve], best: Mapping[str, float]) -> str:
    """Which runs have no part in the lines, as a sentence."""
    empty = [
        f"{c.recipe} on {c.task}, seed {c.seed}"
        for c in curves
        if c.task not in best or not np.isfinite(np.asarray(c.best_us, dtype=float)).any()
    ]
    if not empty:
        return ""
    more = f" and {len(empty) - 6} more" if len(empty) > 6 else ""
    return f" Without a figure: {'; '.join(empty[:6])}{more}."
