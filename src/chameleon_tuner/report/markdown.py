"""`report.md`: a run as a page for people."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator

from chameleon_tuner.report.closing import by_time, headline, verification, why_untuned
from chameleon_tuner.report.numbers import MISSING, gflops, percent, plural, ratio, significant
from chameleon_tuner.report.sections import markdown_table
from chameleon_tuner.report.snippet import snippet
from chameleon_tuner.result import REPORT, Result, TaskResult

_COLUMNS = (
    *("task", "algorithm", "calls", "untuned us", "tuned us"),
    *("speed-up", "GFLOP/s", "trials", "share"),
)


def write_report(result: Result) -> None:
    """Write `report.md` into the folder of a result, which holds its manifest already."""
    (result.folder / REPORT).write_text("\n".join(_page(result)) + "\n", encoding="utf-8")


def _page(result: Result) -> Iterator[str]:
    yield from (f"# {result.model}", "")
    yield from (f"**{headline(result)}**", "")
    yield f"- {verification(result)}"
    yield f"- latencies are medians of interleaved runs on {plural(result.threads, 'thread')}"
    yield ""
    yield from _tasks(result)
    yield from _untuned(result)
    yield from _trials(result)
    yield from _seconds(result)
    yield from _use(result)
    yield from _origin(result)


def _tasks(result: Result) -> Iterator[str]:
    total_us = math.fsum(task.weight * task.best_us for task in result.tasks)
    yield from ("## Kernels", "")
    yield "Times are of one call; the share is of the time of all kernels' calls, tuned. GFLOP/s"
    yield from ("counts the operations of the direct algorithm, whichever is used.", "")
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


def _use(result: Result) -> Iterator[str]:
    folder = shlex.quote(str(result.folder))
    yield from ("## Use", "")
    yield from ("With the command line:", "")
    yield from ("```", f"chameleon run {folder} --bench")
    yield from (f"chameleon run {folder} --inputs x.npz --outputs y.npz", "```", "")
    yield "With nothing but the TVM runtime, in this folder (TVM takes half of the cores unless it"
    yield from ("is told the number of threads before it is imported):", "")
    yield from ("```python", *snippet(result), "```", "")


def _origin(result: Result) -> Iterator[str]:
    yield from ("## Made with", "")
    yield f"- recipe `{result.recipe}`, seed {result.seed}, {result.threads} threads"
    yield f"- target `{json.dumps(dict(result.target), sort_keys=True)}`"
    yield from (f"- {name} {version}" for name, version in result.versions.items())
