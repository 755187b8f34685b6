"""The kernels on the page: rows with bars, curves of their searches, why some stay untuned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chameleon_tuner.report.numbers import MISSING, gflops, percent, plural, ratio, significant
from chameleon_tuner.report.page.search import KernelSearch, Steps, milestones
from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.report.run import by_time, why_untuned
from chameleon_tuner.space.task import DIRECT

MOST_ROWS = 20
"""The most kernels that are shown at once; the others are behind a click."""

_MOST_BEFORE = 3.0
"""The length of the scale of kernels, in that of the longest tuned kernel: a default schedule that
takes longer would leave no length for all others, and its bar is cut."""

MOST_CURVES = 12
"""The most kernels whose curves are drawn: those with the largest share of the time."""

_MOST_HEIGHT = 4.0
"""The height of a curve's box, in that of its lowest point: first candidates may be slower by any
factor."""


@dataclass(frozen=True)
class Curve:
    """The best-so-far curve of a kernel, in a box of 100 by 100 whose origin is at its top left.

    Attributes:
        name: Name of the kernel.
        path: The curve as the path of an SVG; empty where no candidate ran.
        untuned: Height of the default schedule; None if it is not known or above the box.
        before: What the default schedule takes.
        after: What the fastest candidate takes.
        steps: Numbers of trials, with the best microseconds after them.
    """

    name: str
    path: str
    untuned: float | None
    before: str
    after: str
    steps: Sequence[tuple[int, str]]


@dataclass(frozen=True)
class KernelRow:
    """A row of the table of kernels.

    Attributes:
        name: Name of the kernel.
        notes: What is special about it, such as its algorithm.
        before: Length of the bar of the default schedule, from 0 to 1; None if it was not timed.
        after: Length of the bar of the tuned model's kernel; None if it was not timed.
        cut: Whether the bar of the default schedule is longer than the scale.
        kept: Whether the kernel keeps its default schedule.
        cells: Names and values of the other cells.
    """

    name: str
    notes: Sequence[str]
    before: float | None
    after: float | None
    cut: bool
    kept: bool
    cells: Mapping[str, str]


def kernel_rows(result: Result) -> list[KernelRow]:
    """Return the kernels, the largest share of the tuned network's time first."""
    tasks = by_time(result)
    before, after = ([_call_us(task, us) for task in tasks] for us in ("untuned_us", "best_us"))
    total = math.fsum(us for us in after if us is not None)
    longest = max((us for us in after if us is not None), default=0.0)
    scale = min(max((us for us in (*before, *after) if us), default=1.0), _MOST_BEFORE * longest)
    return [
        _kernel_row(task, then, now, scale or 1.0, total)
        for task, then, now in zip(tasks, before, after, strict=True)
    ]


def _call_us(task: TaskResult, name: str) -> float | None:
    """Return the microseconds of all calls of a kernel in the network; None if not known."""
    us = task.weight * float(getattr(task, name))
    return us if math.isfinite(us) else None


def _kernel_row(
    task: TaskResult, before: float | None, after: float | None, scale: float, total: float
) -> KernelRow:
    kept = task.configuration is None
    notes = [plural(task.weight, "call")] if task.weight > 1 else []
    notes += [task.algorithm] if task.algorithm != DIRECT and not kept else []
    return KernelRow(
        task.name,
        notes,
        None if before is None else min(1.0, before / scale),
        None if after is None else min(1.0, after / scale),
        before is not None and before > scale,
        kept,
        {
            "default us": significant(task.untuned_us),
            "tuned us": "default" if kept else significant(task.best_us),
            "speed-up": MISSING if kept else ratio(task.untuned_us, task.best_us),
            "GFLOP/s": gflops(task.flops, task.best_us / 1e6),
            "trials": f"{task.trials}",
            "share": percent(task.weight * task.best_us, total),
        },
    )


def kernels_sum(result: Result) -> str:
    """Return a sentence with the time of all kernels, before and after; empty without kernels."""
    known = [
        (before, after)
        for task in result.tasks
        if (before := _call_us(task, "untuned_us")) is not None
        and (after := _call_us(task, "best_us")) is not None
    ]
    if not known:
        return ""
    before_ms, after_ms = (math.fsum(times) / 1e3 for times in zip(*known, strict=True))
    left = len(result.tasks) - len(known)
    without = f", not counting {plural(left, 'kernel')} without a time" if left else ""
    shapes = f" of {plural(len(result.variants), 'shape')}" if result.variants else ""
    return (
        f"The calls of all kernels{shapes} take {significant(before_ms)} ms with their default "
        f"schedules and {significant(after_ms)} ms in the tuned model{without}: "
        f"{ratio(before_ms, after_ms)} as fast."
    )


def curve(kernel: KernelSearch) -> Curve:
    """Return the curve of a kernel's search."""
    task, steps = kernel.task, kernel.best_us
    known = [us for us in (*steps.values, task.untuned_us) if math.isfinite(us)]
    highest, lowest = max(known, default=1.0), min(known, default=1.0)
    top = min(1.1 * highest, _MOST_HEIGHT * lowest) or 1.0
    untuned = task.untuned_us / top
    return Curve(
        task.name,
        _path(steps, top),
        100 * (1 - untuned) if untuned <= 1 else None,
        f"{_us(task.untuned_us)} by default",
        f"{_us(steps.at(steps.end))} after {plural(steps.end, 'trial')}",
        [(trial, significant(us)) for trial, us in milestones(steps, 4)],
    )


def _path(steps: Steps, top: float) -> str:
    """Return a best-so-far curve as the path of an SVG of 100 by 100."""
    parts: list[str] = []
    for trial, us in zip(steps.trials, steps.values, strict=True):
        across, down = 100 * (trial - 1) / max(1, steps.end - 1), 100 * (1 - min(us / top, 1.0))
        parts.append(f"H{across:.1f}V{down:.1f}" if parts else f"M{across:.1f} {down:.1f}")
    return "".join([*parts, "H100"]) if parts else ""


def _us(us: float) -> str:
    return f"{significant(us)} us" if math.isfinite(us) else "not timed"


def untuned_reasons(result: Result) -> list[tuple[str, list[str]]]:
    """Return why kernels keep their default schedules, with the names of the kernels."""
    found: dict[str, list[str]] = {}
    for task in by_time(result):
        if task.configuration is None:
            found.setdefault(why_untuned(task), []).append(task.name)
    return sorted(found.items(), key=lambda reason: -len(reason[1]))
