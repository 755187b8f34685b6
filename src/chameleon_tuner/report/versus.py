"""The presentation of a comparison with other runtimes: terminal, `report.md`, and chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from chameleon_tuner.bench.versus.results import Duel, Timed
from chameleon_tuner.report.numbers import MISSING, plural, significant
from chameleon_tuner.report.sections import Addition
from chameleon_tuner.report.style import GREY, INK, canvas, strokes, styled

HEADING = "## Beside other runtimes"

_HEADER = ("runtime", "version", "ms", "95% interval", "ours / its", "difference")


def write_duel(found: Duel, folder: Path, command: str) -> list[str]:
    """Write `versus.json`, the chart and a section of `report.md`.

    Args:
        found: The comparison.
        folder: Folder of the tuned model.
        command: Command line that made the comparison.

    Returns:
        The lines for the terminal.
    """
    with styled():
        return _addition(found).write(folder, found, bars(found), command)


def lines(found: Duel) -> list[str]:
    """Return the comparison as lines for the terminal."""
    return _addition(found).lines()


def section(found: Duel, command: str) -> str:
    """Return the comparison as a section of `report.md`."""
    return _addition(found).section(command)


def _addition(found: Duel) -> Addition:
    return Addition(
        name="versus",
        heading=HEADING,
        title=_title(found),
        header=_HEADER,
        rows=_rows(found),
        left=2,
        notes=notes(found),
        chart="chart",
        shows="milliseconds of one call",
    )


def notes(found: Duel) -> list[str]:
    """Return the explanations that follow the table."""
    return [
        "ours / its: below 1 chameleon is faster; all in float32, each in a process of its own, "
        f"turns of {found.round_secs:g} s",
        *(f"{absent.name} is not installed: {absent.install}" for absent in found.missing),
        *(f"{broken.name} failed: {broken.reason}" for broken in found.failed),
        *_suspicion(found),
    ]


def _suspicion(found: Duel) -> list[str]:
    if not found.of_another_model:
        return []
    return ["the outputs of every runtime differ: the folder may be of another model"]


def _title(found: Duel) -> str:
    beside = f" beside {plural(found.busy, 'busy neighbour')}" if found.busy else ""
    return (
        f"{found.model} on {plural(found.threads, 'thread')} of {found.machine}{beside}, "
        f"medians of {plural(found.rounds, 'round')}"
    )


def _rows(found: Duel) -> list[Sequence[str]]:
    return [_cells(runtime) for runtime in found.runtimes]


def _cells(runtime: Timed) -> list[str]:
    low, high = runtime.interval_ms
    return [
        runtime.name,
        runtime.version,
        significant(runtime.median_ms),
        f"{significant(low)} to {significant(high)}",
        MISSING if runtime.ratio is None else f"{runtime.ratio:.2f}",
        _difference(runtime),
    ]


def _difference(runtime: Timed) -> str:
    if runtime.error is None:
        return MISSING
    size = f"{runtime.error:.1e}" if math.isfinite(runtime.error) else ""
    mark = "outputs differ" if runtime.differs else ""
    return ", ".join(filter(None, (size, mark)))


def bars(found: Duel) -> Figure:
    """Draw a bar for every runtime with the interval of its median; call it inside `styled`."""
    runtimes = found.runtimes
    figure = canvas(1.2 + 0.42 * len(runtimes))
    axes = figure.subplots()
    most = max(runtime.interval_ms[1] for runtime in runtimes)
    for place, runtime in enumerate(runtimes):
        low, high = runtime.interval_ms
        middle = runtime.median_ms
        axes.barh(place, middle, height=0.68, color=_colour(runtime), linewidth=0)
        axes.errorbar(
            middle,
            place,
            xerr=[[max(0.0, middle - low)], [max(0.0, high - middle)]],
            color=INK,
            capsize=4,
            linewidth=1.3,
        )
        label = f"{significant(middle)} ms{', outputs differ' if runtime.differs else ''}"
        axes.text(high + most / 100, place, label, va="center")
    axes.set_yticks(range(len(runtimes)), _names(runtimes))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * most)
    axes.set_xlabel("milliseconds of one call, with 95% intervals of the median")
    axes.set_title(_title(found), loc="left")
    axes.grid(visible=True, axis="x")
    return figure


def _colour(runtime: Timed) -> str:
    ours = runtime.error is None
    return strokes((runtime.name,))[runtime.name].colour if ours else GREY


def _names(runtimes: Sequence[Timed]) -> list[str]:
    return [f"{runtime.name} {runtime.version}" for runtime in runtimes]
