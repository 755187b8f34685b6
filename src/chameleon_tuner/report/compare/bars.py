"""Bar charts: the separate effects of exploration and sampling, and the time by activity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.report.numbers import significant
from chameleon_tuner.report.style import GREY, INK, Drawing, base, canvas, strokes
from chameleon_tuner.system.clock import ACTIVITIES

FloatArray = npt.NDArray[np.float64]

CELLS = ("annealing+greedy", "annealing+adaptive", "ppo+greedy", "ppo+adaptive")
"""The recipes of the 2x2 experiment; all are shown relative to the first."""

_STARTUP, _OTHER, _UNSAID = "startup", "other", "not told apart"
_PARTS = {
    _STARTUP: "#bbbbbb",
    "explore": "#d55e00",
    "sample": "#cc79a7",
    "fit": "#e69f00",
    "build": "#0072b2",
    "run": "#56b4e9",
    _OTHER: "#e3e3e3",
    _UNSAID: GREY,
}


def two_by_two(curves: Sequence[Curve]) -> Drawing | None:
    """Draw the final latencies of the 2x2 recipes; None if one of them is missing."""
    finals = {cell: _finals(curves, cell) for cell in CELLS}
    tasks = sorted(set.intersection(*({t for t, _ in cell} for cell in finals.values())))
    tasks = [t for t in tasks if all(_finite(cell, t) for cell in finals.values())]
    cells = [_logs(cell, tasks) for cell in finals.values()]
    if not tasks or not all(len(logs) for logs in cells):
        return None
    reference = cells[0].mean(axis=0)
    relative = [np.exp((logs - reference).mean(axis=1)) for logs in cells]
    caption = (
        f"Final latency relative to {CELLS[0]}, geometric mean over {len(tasks)} of "
        f"{len({c.task for c in curves})} tasks: those that every cell has figures of. Bars are "
        "geometric means over seeds, whiskers reach from the least to the largest seed, dots are "
        "the seeds. Lower is faster."
    )
    return Drawing("two-by-two", "Exploration and sampling apart", caption, _bars(relative))


def _finals(curves: Sequence[Curve], cell: str) -> dict[tuple[str, int], float]:
    """Return the final microseconds of a cell's first recipe by task and seed."""
    recipe = next((c.recipe for c in curves if base(c.recipe) == cell), None)
    return {(c.task, c.seed): c.final_us for c in curves if c.recipe == recipe}


def _finite(finals: dict[tuple[str, int], float], task: str) -> bool:
    return all(0 < us < math.inf for (name, _), us in finals.items() if name == task)


def _logs(finals: dict[tuple[str, int], float], tasks: Sequence[str]) -> FloatArray:
    """Return log latencies (seeds, tasks) of the seeds that have all tasks."""
    seeds = sorted({seed for _, seed in finals})
    whole = [seed for seed in seeds if all((task, seed) in finals for task in tasks)]
    return np.log([[finals[task, seed] for task in tasks] for seed in whole])


def _bars(relative: Sequence[FloatArray]) -> Figure:
    figure = canvas(3.9)
    axes = figure.subplots()
    looks = strokes(CELLS)
    places = (0.0, 1.0, 2.5, 3.5)
    for place, cell, seeds in zip(places, CELLS, relative, strict=True):
        middle = float(np.exp(np.log(seeds).mean()))
        axes.bar(place, middle, width=0.7, color=looks[cell].colour)
        if len(seeds) > 1:
            spread = [[middle - seeds.min()], [seeds.max() - middle]]
            axes.errorbar(place, middle, yerr=spread, color=INK, capsize=5, linewidth=1.3)
            beside = place + np.linspace(0.12, 0.24, len(seeds))
            axes.scatter(beside, seeds, s=16, color="white", edgecolors=INK, zorder=3)
        axes.annotate(
            f"{middle:.3f}",
            (place, 0),
            (0, 12),
            textcoords="offset points",
            ha="center",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "none"},
        )
    axes.axhline(1.0, color=INK, linewidth=0.9, linestyle=":")
    axes.set_xticks(places, CELLS)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.15 * max(float(seeds.max()) for seeds in relative))
    axes.set_ylabel(f"final latency / {CELLS[0]}")
    axes.grid(visible=True, axis="y")
    return figure


def where_time_went(curves: Sequence[Curve]) -> Drawing | None:
    """Draw the mean seconds of a run by activity, a bar per recipe; None without curves."""
    recipes = list(dict.fromkeys(curve.recipe for curve in curves))
    if not recipes:
        return None
    spent = {r: _mean_parts([c for c in curves if c.recipe == r]) for r in recipes}
    most = max(sum(parts.values()) for parts in spent.values()) or 1.0
    figure = canvas(1.2 + 0.42 * len(recipes))
    axes = figure.subplots()
    for place, parts in enumerate(spent.values()):
        total = sum(parts.values())
        _stack(axes, place, parts)
        axes.text(total + most / 100, place, f"{significant(total)} s", va="center")
    axes.set_yticks(range(len(recipes)), recipes)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * most)
    axes.set_xlabel("seconds of a run, mean over tasks and seeds")
    axes.grid(visible=True, axis="x")
    shown = [part for part in _PARTS if any(parts.get(part) for parts in spent.values())]
    handles = [Patch(color=_PARTS[part]) for part in shown]
    figure.legend(handles, shown, loc="outside upper center", ncols=max(1, len(shown)))
    caption = (
        "Mean wall-clock seconds of a run, from the start of its process to its end. Startup is "
        "imports, workers and loading the task; other is what belongs to none of the activities. "
    )
    if _UNSAID in shown:
        caption += "A tuner that does not tell its activities apart has one grey part."
    return Drawing("time", "Where the time went", caption.strip(), figure)


def _stack(axes: Axes, place: int, parts: dict[str, float]) -> None:
    left = 0.0
    for part, secs in parts.items():
        axes.barh(place, secs, left=left, height=0.68, color=_PARTS[part], linewidth=0)
        left += secs


def _mean_parts(curves: Sequence[Curve]) -> dict[str, float]:
    runs = [_parts(curve) for curve in curves]
    return {part: sum(run.get(part, 0.0) for run in runs) / len(runs) for part in _PARTS}


def _parts(curve: Curve) -> dict[str, float]:
    """Return the seconds of a run by part; the parts add up to its total.

    The stopwatch of the run counts the startup as `other`; here the two are separate.
    """
    if not curve.spent:
        return {_UNSAID: curve.total_secs}
    parts = {_STARTUP: curve.startup_secs, **{a: curve.spent.get(a, 0.0) for a in ACTIVITIES}}
    return {**parts, _OTHER: max(0.0, curve.total_secs - sum(parts.values()))}
