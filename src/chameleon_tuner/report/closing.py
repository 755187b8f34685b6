"""The closing summary of a run, on one screen."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from chameleon_tuner.report.numbers import MISSING, clock, percent, plural, ratio, significant
from chameleon_tuner.result import REPORT, Result, TaskResult

_DOING = {
    "build": "building",
    "run": "running",
    "explore": "exploring",
    "sample": "sampling",
    "fit": "fitting",
    "other": "all else",
}
_OURS = ("tuned", "untuned")
_WHOSE = {"untuned": "the untuned model's"}
_MOST_NAMES = 3
"""Kernels that are named with a reason; the report has all."""


def closing_lines(result: Result, recorded: int = 0) -> list[str]:
    """What the user is told at the end, a line each.

    Args:
        result: of the run.
        recorded: trials that an earlier run of the same search had measured.
    """
    return [
        f"{result.model}: {headline(result)}",
        verification(result),
        _trials(result.trials, recorded),
        f"{clock(result.seconds['total'])} in all: {time_line(result.seconds)}",
        *_untuned(result),
        f"everything is in {result.folder}/, read {result.folder / REPORT}",
        f"next: chameleon run {shlex.quote(str(result.folder))} --bench",
    ]


def headline(result: Result) -> str:
    """The latencies in one line."""
    latency = result.latency_ms
    tuned, untuned = (latency.get(name, math.nan) for name in ("tuned", "untuned"))
    others = [f", {name} {significant(ms)} ms" for name, ms in latency.items() if name not in _OURS]
    return (
        f"{significant(tuned)} ms tuned, {significant(untuned)} ms untuned: "
        f"{ratio(untuned, tuned)} as fast{''.join(others)}"
    )


def verification(result: Result) -> str:
    """Whether the outputs were the same, and as whose."""
    others = " and ".join(_WHOSE.get(name, f"{name}'s") for name in result.errors)
    if not others:
        return "not verified: there was nothing to compare its outputs with"
    worst = max(result.errors.values(), key=lambda error: math.inf if error != error else error)
    difference = f"largest difference {worst:.1e} of the largest output"
    if result.verified:
        return f"verified: its outputs agree with {others} ({difference})"
    return f"NOT VERIFIED: its outputs differ from {others} ({difference}); do not use it"


def _trials(trials: Mapping[str, Any], recorded: int) -> str:
    recalled = min(recorded, trials["attempted"])
    before = f" ({recalled:,} of them in an earlier run)" if recalled else ""
    return f"{plural(trials['attempted'], 'trial')}{before}: {statuses(trials)}"


def statuses(trials: Mapping[str, Any]) -> str:
    """Trials by how they ended: `22 measured, 2 rejected`."""
    counts = {"measured": trials["measured"], "censored": trials["censored"], **trials["failed"]}
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"


def time_line(seconds: Mapping[str, float]) -> str:
    """Where the time went, most first: `building 61%, running 22%, ...`."""
    spent = {name: seconds.get(key, 0.0) for key, name in _DOING.items()}
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(secs, seconds['total'])}" for name, secs in ordered)


def _untuned(result: Result) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for task in by_time(result):
        if task.configuration is None:
            by_reason.setdefault(why_untuned(task), []).append(task.name)
    if not by_reason:
        return
    kept = sum(map(len, by_reason.values()))
    yield f"{kept} of {plural(len(result.tasks), 'kernel')} stay untuned:"
    for reason, names in by_reason.items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"  {', '.join(names[:_MOST_NAMES])}{more}: {reason}"


def by_time(result: Result) -> list[TaskResult]:
    """The tasks, those in which the tuned network spends most time first."""
    return sorted(result.tasks, key=lambda task: -task.weight * task.best_us)


def why_untuned(task: TaskResult) -> str:
    """The reason why a kernel was not replaced; `-` where it was."""
    if task.configuration is not None:
        return MISSING
    if task.refused:
        return task.refused[0]
    if not task.trials:
        return "the budget had no trials for it"
    return f"none of {plural(task.trials, 'candidate')} could be built and run"
