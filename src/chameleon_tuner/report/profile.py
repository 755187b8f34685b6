"""The presentation of a profile: on the terminal, in `report.md`, and as a roofline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from chameleon_tuner.bench.profiling import ISOLATED_ROUNDS, KernelProfile, Profile
from chameleon_tuner.report.numbers import MISSING, percent, plural, significant
from chameleon_tuner.report.sections import Addition
from chameleon_tuner.report.style import INK, WIDTH_IN, canvas, strokes, styled

HEADING = "## Profile"

_HEADER = (
    *("kernel", "calls", "us in network", "share", "us isolated", "in / isolated"),
    *("GFLOP/s", "of peak", "GB/s", "of copy"),
)
_LABELLED = 9
"""The number of kernels that are numbered in the roofline, those that take longest."""


def write_profile(found: Profile, folder: Path, command: str) -> list[str]:
    """Write `profile.json`, the roofline and a section of `report.md`.

    Args:
        found: The profile.
        folder: Folder of the tuned model.
        command: Command line that made the profile.

    Returns:
        The lines for the terminal.
    """
    with styled():
        return _addition(found).write(
            folder, {**asdict(found), "kernels_us": found.kernels_us}, roofline(found), command
        )


def lines(found: Profile) -> list[str]:
    """Return the profile as lines for the terminal."""
    return _addition(found).lines()


def section(found: Profile, command: str) -> str:
    """Return the profile as a section of `report.md`."""
    return _addition(found).section(command)


def _addition(found: Profile) -> Addition:
    return Addition(
        name="profile",
        heading=HEADING,
        title=title(found),
        header=_HEADER,
        rows=_rows(found),
        left=1,
        notes=notes(found),
        chart="roofline",
        shows="the roofline of the machine",
    )


def table(found: Profile) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Return the names of the columns, and the cells of every kernel."""
    return _HEADER, _rows(found)


def notes(found: Profile) -> list[str]:
    """Return the explanations that follow the table."""
    limits = found.limits
    isolated = sum(kernel.isolated_us for kernel in found.kernels)
    computing = any(kernel.flops for kernel in found.kernels)
    return [
        f"a call of the network takes {significant(found.latency_us)} us; its kernels "
        f"{significant(found.kernels_us)} us of that "
        f"({percent(found.kernels_us, found.latency_us)}), isolated {significant(isolated)} us",
        f"peak: {significant(limits.gflops)} GFLOP/s, nothing but multiply-adds in registers; "
        f"copy: {significant(limits.gbytes)} GB/s, read and written, of what fits no cache",
        "isolated: repeated by itself, on what it left in the caches, medians of "
        f"{ISOLATED_ROUNDS} rounds; GB/s counts every argument once and in full",
        "GFLOP/s counts the operations of direct convolutions: above the peak where the kernel is "
        "another algorithm's, and by some per cent where the machine was quicker at its moment",
        *([] if computing else ["operations are not known: tune the model again for GFLOP/s"]),
    ]


def title(found: Profile) -> str:
    """Return what was profiled, and where."""
    return (
        f"{found.model} on {plural(found.threads, 'thread')} of {found.machine}, "
        f"medians of {plural(found.rounds, 'round')}"
    )


def _rows(found: Profile) -> list[Sequence[str]]:
    return [_cells(kernel, found) for kernel in found.kernels]


def _cells(kernel: KernelProfile, found: Profile) -> Sequence[str]:
    computes = kernel.flops > 0
    return (
        kernel.name,
        str(kernel.calls),
        significant(kernel.network_us),
        percent(kernel.network_us, found.kernels_us),
        significant(kernel.isolated_us),
        f"{kernel.network_us / kernel.isolated_us:.2f}",
        significant(kernel.gflops) if computes else MISSING,
        percent(kernel.gflops, found.limits.gflops) if computes else MISSING,
        significant(kernel.gbytes),
        percent(kernel.gbytes, found.limits.gbytes),
    )


def roofline(found: Profile, width_in: float = WIDTH_IN, *, titled: bool = True) -> Figure:
    """Draw the kernels with arithmetic in a roofline plot; to be called inside `styled`.

    Args:
        found: The profile.
        width_in: Width of the figure.
        titled: Whether the figure says what was measured; a page that says it need not.

    Returns:
        The figure.
    """
    figure = canvas(4.2, width_in)
    axes = figure.subplots()
    computing = [kernel for kernel in found.kernels if kernel.flops > 0 and kernel.bytes > 0]
    ridge = found.limits.gflops / found.limits.gbytes
    intensities = [kernel.intensity for kernel in computing] or [ridge]
    low, high = min(*intensities, ridge) / 3, max(*intensities, ridge) * 3
    roof = np.geomspace(low, high, 200)
    axes.plot(roof, [found.limits.attainable_gflops(x) for x in roof], color=INK, linewidth=1.4)
    colour = strokes(("chameleon",))["chameleon"].colour
    if computing:
        axes.scatter(
            intensities,
            [kernel.gflops for kernel in computing],
            s=[20 + 600 * kernel.network_us / found.kernels_us for kernel in computing],
            color=colour,
            alpha=0.6,
            lw=0,
        )
    for kernel in computing[:_LABELLED]:
        row, place = str(found.kernels.index(kernel) + 1), (kernel.intensity, kernel.gflops)
        axes.annotate(row, place, (0, -15), textcoords="offset points", ha="center", color=INK)
    axes.set(xscale="log", yscale="log", xlim=(low, high))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    numbers = "; numbers are rows of the table" if titled else ""
    axes.set_xlabel(f"operations a byte of arguments{numbers}")
    axes.set_ylabel("GFLOP/s in the network")
    if titled:
        axes.set_title(title(found), loc="left")
    axes.grid(visible=True)
    return figure
