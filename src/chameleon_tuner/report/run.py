"""A run for people: the closing summary on the terminal, and `report.md`."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chameleon_tuner.ports.handler import TUNED
from chameleon_tuner.report.numbers import (
    MISSING,
    clock,
    gflops,
    percent,
    plural,
    ratio,
    significant,
)
from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.report.sections import markdown_table
from chameleon_tuner.system.files import PAGE, REPORT

DOING = {
    "build": "building",
    "run": "running",
    "explore": "exploring",
    "sample": "sampling",
    "fit": "fitting",
    "other": "all else",
}
"""What a run does, by the name that an activity has on its clock."""

_WHOSE = {"untuned": "the untuned model's"}
_MOST_NAMES = 3
"""The most kernels that the summary names for one reason; `report.md` names all of them."""


def closing_lines(result: Result, recorded: int = 0) -> list[str]:
    """Return the lines of the closing summary.

    Args:
        result: The result of the run.
        recorded: Number of trials that an earlier run of the same search had measured.
    """
    return [
        f"{result.model}: {headline(result)}",
        verification(result),
        _trials_line(result.trials, recorded),
        f"{clock(result.seconds['total'])} in all: {time_line(result.seconds)}",
        *variant_lines(result),
        *store_lines(result),
        *(f"without {name}: {reason}" for name, reason in result.absent.items()),
        *part_lines(result),
        *_untuned_lines(result),
        f"everything is in {result.folder}/, {_reading(result.folder)}",
        f"next: chameleon run {shlex.quote(str(result.folder))} --bench",
    ]


def _reading(folder: Path) -> str:
    page = folder / PAGE
    return f"open {page} or read {REPORT}" if page.is_file() else f"read {folder / REPORT}"


def headline(result: Result) -> str:
    """Return the latencies in one line."""
    latency, today = result.latency_ms, result.baseline
    deployed = significant(result.best_ms)
    if result.deployed != TUNED:
        tuned = f", {significant(latency[TUNED])} ms tuned" if TUNED in latency else ""
        return f"{deployed} ms by {result.deployed}, which is deployed{tuned}"
    if today == TUNED:
        return f"{deployed} ms tuned"
    return (
        f"{deployed} ms tuned, {significant(latency[today])} ms {today}: "
        f"{ratio(latency[today], result.best_ms)} as fast"
    )


def verification(result: Result) -> str:
    """Return a line that says whether the outputs agree, and with the outputs of which models."""
    others = " and ".join(_WHOSE.get(name, f"{name}'s") for name in result.errors)
    if result.deployed != TUNED:
        return f"the tuned model is not deployed: {result.reason}"
    if not others:
        return "not verified: there was nothing to compare its outputs with"
    worst = max(result.errors.values(), key=lambda error: math.inf if error != error else error)
    difference = f"largest difference {worst:.1e} of the largest output"
    if result.verified:
        return f"verified: its outputs agree with {others} ({difference})"
    return f"NOT VERIFIED: its outputs differ from {others} ({difference}); do not use it"


def _trials_line(trials: Mapping[str, Any], recorded: int) -> str:
    recalled = min(recorded, trials["attempted"])
    before = f" ({recalled:,} of them in an earlier run)" if recalled else ""
    return f"{plural(trials['attempted'], 'trial')}{before}: {statuses(trials)}"


def statuses(trials: Mapping[str, Any]) -> str:
    """Return the numbers of trials by status: `22 measured, 2 rejected`."""
    counts = {"measured": trials["measured"], "censored": trials["censored"], **trials["failed"]}
    return ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items() if n) or "none"


def time_line(seconds: Mapping[str, float]) -> str:
    """Return each activity's share of the time, largest first: `building 61%, running 22%, ...`."""
    spent = {name: seconds.get(key, 0.0) for key, name in DOING.items()}
    ordered = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {percent(secs, seconds['total'])}" for name, secs in ordered)


def store_lines(result: Result) -> Iterator[str]:
    """Yield lines about the records of all runs, where they were of use, or should have been."""
    known, relatives = result.store.get("known", 0), result.store.get("relatives", 0)
    if known or relatives:
        taken = [
            f"{plural(count, 'trial')} of {whose}"
            for count, whose in ((known, "these kernels"), (relatives, "similar ones"))
            if count
        ]
        yield f"known from {result.store['place']}: {', '.join(taken)}"
    if result.store.get("trouble"):
        yield f"the records of other runs were not used: {result.store['trouble']}"


def variant_lines(result: Result) -> Iterator[str]:
    """Yield a line for every variant of the shapes, where there are several."""
    for variant in result.variants:
        told = ", ".join(f"{significant(ms)} ms {name}" for name, ms in variant.latency_ms.items())
        why = f" ({variant.reason})" if variant.reason else ""
        yield f"{variant.shapes}: {told}; {variant.deployed} is deployed{why}"


def part_lines(result: Result) -> Iterator[str]:
    """Yield a line for every part that runs in onnxruntime, the largest share first."""
    for part in sorted(result.parts, key=lambda part: -part.share):
        counts = Counter(part.operators).most_common()
        shown = ", ".join(f"{count} {name}" for name, count in counts[:_MOST_NAMES])
        left = len(counts) - _MOST_NAMES
        more = f" and {plural(left, 'more kind')}" if left > 0 else ""
        yield f"{part.share:.0%} of the time in onnxruntime: {shown}{more}"
        for reason in part.reasons[:_MOST_NAMES]:
            yield f"  {reason}"


def _untuned_lines(result: Result) -> Iterator[str]:
    if result.deployed != TUNED:
        return
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
    """Return the tasks by their share of the tuned network's time, largest first.

    Those that were not timed come last.
    """
    timed = [task for task in result.tasks if math.isfinite(task.best_us)]
    others = [task for task in result.tasks if not math.isfinite(task.best_us)]
    return sorted(timed, key=lambda task: -task.weight * task.best_us) + others


def why_untuned(task: TaskResult) -> str:
    """Return the reason why a kernel was not replaced, or `-` if it was replaced."""
    if task.configuration is not None:
        return MISSING
    if task.refused:
        return task.refused[0]
    if not task.trials:
        return "the budget had no trials for it"
    return f"none of {plural(task.trials, 'candidate')} could be built and run"


_COLUMNS = (
    *("task", "algorithm", "calls", "untuned us", "tuned us"),
    *("speed-up", "GFLOP/s", "trials", "share"),
)


def write_report(result: Result, usage: Sequence[str] = ()) -> None:
    """Write `report.md` into the folder of a result.

    Args:
        result: The result.
        usage: Markdown that says how the library is used; see `Project.usage`.
    """
    (result.folder / REPORT).write_text("\n".join(_page(result, usage)) + "\n", encoding="utf-8")


def _page(result: Result, usage: Sequence[str]) -> Iterator[str]:
    yield from (f"# {result.model}", "")
    yield from (f"**{headline(result)}**", "")
    yield f"- {verification(result)}"
    yield from (f"- without {name}: {reason}" for name, reason in result.absent.items())
    yield from (f"- {line}" for line in store_lines(result))
    yield f"- latencies are medians of interleaved runs on {plural(result.threads, 'thread')}"
    yield from (f"- {line}" for line in variant_lines(result))
    yield ""
    yield from _parts(result)
    yield from _tasks(result)
    yield from _untuned(result)
    yield from _trials(result)
    yield from _seconds(result)
    yield from _use(usage)
    yield from _origin(result)


def _parts(result: Result) -> Iterator[str]:
    if result.parts:
        yield from ("## Parts in onnxruntime", "")
        yield from (line if line.startswith(" ") else f"- {line}" for line in part_lines(result))
        yield ""


def _tasks(result: Result) -> Iterator[str]:
    times = (task.weight * task.best_us for task in result.tasks)
    total_us = math.fsum(us for us in times if math.isfinite(us))
    yield from ("## Kernels", "")
    yield "Times are of one call; the share is of the time of all kernels' calls, tuned. GFLOP/s"
    yield from ("counts the operations of the direct algorithm, whichever is used.", "")
    if result.deployed != TUNED and result.tasks:
        yield from (f"They are the tuned model's, and {result.deployed} is deployed.", "")
    yield from markdown_table(_COLUMNS, [_task_cells(task, total_us) for task in by_time(result)])
    yield ""


def _task_cells(task: TaskResult, total_us: float) -> list[str]:
    kept = task.configuration is None
    return [
        f"`{task.name}`",
        task.algorithm,
        f"{task.weight}",
        significant(task.untuned_us),
        "untuned" if kept else significant(task.best_us),
        MISSING if kept else ratio(task.untuned_us, task.best_us),
        gflops(task.flops, task.best_us / 1e6),
        f"{task.trials}",
        percent(task.weight * task.best_us, total_us),
    ]


def _untuned(result: Result) -> Iterator[str]:
    kept = [task for task in by_time(result) if task.configuration is None]
    if kept:
        yield from ("These kernels stay untuned:", "")
        yield from (f"- `{task.name}`: {why_untuned(task)}" for task in kept)
        yield ""


def _trials(result: Result) -> Iterator[str]:
    trials = result.trials
    ended = {"measured": trials["measured"], "censored": trials["censored"], **trials["failed"]}
    rows = [(name.replace("_", " "), f"{count:,}") for name, count in ended.items() if count]
    yield from ("## Trials", "")
    yield from markdown_table(("ended", "trials"), [*rows, ("all", f"{trials['attempted']:,}")])
    yield ""


def _seconds(result: Result) -> Iterator[str]:
    total = result.seconds["total"]
    spent = {key: secs for key, secs in result.seconds.items() if key != "total"}
    rows = [
        (key, f"{secs:.1f}", percent(secs, total))
        for key, secs in sorted(spent.items(), key=lambda item: -item[1])
    ]
    yield from ("## Time", "")
    yield from markdown_table(
        ("activity", "seconds", "share"), [*rows, ("total", f"{total:.1f}", "100%")]
    )
    yield ""


def _use(usage: Sequence[str]) -> Iterator[str]:
    if usage:
        yield from ("## Use", "", *usage, "")


def _origin(result: Result) -> Iterator[str]:
    yield from ("## Made with", "")
    yield f"- recipe `{result.recipe}`, seed {result.seed}, {result.threads} threads"
    yield f"- target `{json.dumps(dict(result.target), sort_keys=True)}`"
    yield from (f"- {name} {version}" for name, version in result.versions.items())
