"""Plots of best-so-far curves: a panel for every task, and all tasks together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.report.style import (
    Drawing,
    Stroke,
    canvas,
    legend_on_top,
    message,
    shortened,
    strokes,
)

FloatArray = npt.NDArray[np.float64]


Axis = Literal["seconds", "measurements"]


_POINTS = 160
"""The most points of a line. Twenty seeds have thousands; a panel is about 250 pixels wide."""


_LEAST_SECS = 1e-2
"""The smallest time on the logarithmic time axis; earlier times are moved to it."""


class Steps(NamedTuple):
    """A step function with the value y[n] from x[n] on, and nan before x[0].

    Attributes:
        x: Ascending positions of the steps, (n,).
        y: Latency relative to a reference from each step on, (n,); nan if it is infinite.
        end: Position at which the run ended.
    """

    x: FloatArray
    y: FloatArray
    end: float

    def at(self, grid: FloatArray) -> FloatArray:
        """Return the values (n,) at the points of a grid (n,).

        Of steps at the same position, the last one counts.
        """
        return np.append(np.nan, self.y)[np.searchsorted(self.x, grid, side="right")]


class Band(NamedTuple):
    """The geometric mean over seeds, with the smallest and the largest seed.

    Attributes:
        x: Positions from the first defined value on, (n,).
        middle: Geometric mean over seeds, (n,).
        low: The smallest value of any seed, (n,).
        high: The largest value of any seed, (n,).
        seeds: Number of seeds.
    """

    x: FloatArray
    middle: FloatArray
    low: FloatArray
    high: FloatArray
    seeds: int


def steps_of(curve: Curve, axis: Axis, reference_us: float) -> Steps:
    """Return the best-so-far latency of a run as a step function up to the run's end.

    Args:
        curve: The run.
        axis: Whether positions are seconds or measurements.
        reference_us: Microseconds by which latencies are divided.

    Returns:
        The step function.
    """
    least = _LEAST_SECS if axis == "seconds" else 1
    x = np.maximum(np.asarray(getattr(curve, axis), dtype=np.float64), least)
    us = np.asarray(curve.best_us, dtype=np.float64)
    y = np.where(np.isfinite(us) & (us > 0), us, np.nan) / reference_us
    whole = curve.total_secs if axis == "seconds" else curve.trials
    return Steps(x, y, max(float(whole), *x[-1:], least))


def band(seeds: Sequence[Sequence[Steps]]) -> Band:
    """Return the mean and spread over seeds of the geometric mean over each seed's tasks.

    The band is defined where every task of every seed has a value. A run that has ended keeps its
    last value.

    Args:
        seeds: The step functions of each seed's tasks.
    """
    runs = [steps for seed in seeds for steps in seed]
    grid = np.unique(np.concatenate([*(run.x for run in runs), [max(run.end for run in runs)]]))
    if len(grid) > _POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, _POINTS).round().astype(int)]
    logs = np.array([np.mean([np.log(run.at(grid)) for run in seed], axis=0) for seed in seeds])
    defined = np.flatnonzero(np.isfinite(logs.mean(axis=0)))
    begin = defined[0] if len(defined) else len(grid)
    shares = np.exp(logs[:, begin:])
    middle = np.exp(logs[:, begin:].mean(axis=0))
    return Band(grid[begin:], middle, shares.min(axis=0), shares.max(axis=0), len(seeds))


def best_finals(curves: Iterable[Curve]) -> dict[str, float]:
    """Return the smallest final latency of any recipe by task; tasks without one are omitted."""
    best: dict[str, float] = {}
    for curve in curves:
        if 0 < curve.final_us < math.inf:
            best[curve.task] = min(best.get(curve.task, math.inf), curve.final_us)
    return best


def bands(curves: Iterable[Curve], best: Mapping[str, float], axis: Axis) -> dict[str, Band]:
    """Return a band over all tasks of `best` for every recipe.

    Only seeds with a kernel on each of these tasks count. A recipe without such a seed, or whose
    values are never all defined at the same position, is omitted.

    Args:
        curves: Curves of all runs.
        best: Reference latency of each task in microseconds.
        axis: Whether positions are seconds or measurements.

    Returns:
        The bands by recipe.
    """
    runs: dict[str, dict[int, dict[str, Steps]]] = {}
    for curve in curves:
        seeds = runs.setdefault(curve.recipe, {})
        if curve.task in best and len(curve.best_us):
            steps = steps_of(curve, axis, best[curve.task])
            seeds.setdefault(curve.seed, {})[curve.task] = steps
    found = {}
    for recipe, seeds in runs.items():
        whole = [list(tasks.values()) for tasks in seeds.values() if len(tasks) == len(best)]
        if whole and len((made := band(whole)).x):
            found[recipe] = made
    return found


AXES: tuple[Axis, Axis] = ("seconds", "measurements")
"""The horizontal axes against which curves are drawn."""

_TOP = 4.0
"""The upper end of the latency axis. The first trials can be slower by any factor."""
_LABELS = {"seconds": "seconds of the run", "measurements": "measurements of the run"}
_LATENCY = "latency / best final"
_HOW = (
    "Lines are geometric means over seeds, bands reach from the least to the largest of them; a "
    "run that has ended keeps its last figure. Every figure is of the neutral timer and of the "
    "incumbent at that point, so that a line rises where its tuner took a worse kernel for a "
    f"better one. The latency axis ends at {_TOP:g} times the best."
)


def by_task(curves: Sequence[Curve], axis: Axis) -> Drawing | None:
    """Draw the curves with a panel for every task; None without curves."""
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
    """Draw the geometric mean over tasks against both axes; None if no recipe has all tasks."""
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
    """Set the scales, limits and ticks of a panel to fit its lines."""
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
    """Set a few ticks with plain numbers on a logarithmic axis, even if it is short."""
    span = limits[1] / limits[0]
    near = MaxNLocator(5, steps=[1, 2, 5, 10])
    far = LogLocator(subs=(1, 2, 5) if span < 200 else (1,))
    ruler.set_major_locator(near if span < 5 else far)
    ruler.set_minor_locator(NullLocator())
    ruler.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))


def _scale(axis: Axis) -> str:
    return f"{_LABELS[axis]} (log scale)"


def _absent(curves: Sequence[Curve], best: Mapping[str, float]) -> str:
    """Return a sentence that names the runs without a figure; empty if there are none."""
    empty = [
        f"{c.recipe} on {c.task}, seed {c.seed}"
        for c in curves
        if c.task not in best or not np.isfinite(np.asarray(c.best_us, dtype=float)).any()
    ]
    if not empty:
        return ""
    more = f" and {len(empty) - 6} more" if len(empty) > 6 else ""
    return f" Without a figure: {'; '.join(empty[:6])}{more}."
