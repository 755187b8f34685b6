"""The content of the page: rows of tables, lengths of bars and sentences for the template."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chameleon_tuner.ports.handler import ONNXRUNTIME, TUNED
from chameleon_tuner.report.numbers import clock, percent, plural, ratio, significant
from chameleon_tuner.report.result import PartResult, Result
from chameleon_tuner.report.run import DOING


@dataclass(frozen=True)
class Row:
    """A row of a table with a bar.

    Attributes:
        name: Name in the first cell.
        cells: The other cells.
        share: Length of the bar, from 0 to 1.
        tone: Name of the bar's colour.
        tag: A word of emphasis beside the name; may be empty.
        notes: Sentences below the name.
    """

    name: str
    cells: Sequence[str]
    share: float
    tone: str
    tag: str = ""
    notes: Sequence[str] = ()


def tiles(result: Result) -> Iterator[tuple[str, str]]:
    """Yield the numbers that matter most, each with what it is."""
    latency = result.latency_ms
    yield (
        f"{significant(result.best_ms)} ms",
        f"a call with {_who(result.deployed)}, which is deployed",
    )
    if result.deployed != TUNED and TUNED in latency:
        speed = ratio(latency[result.deployed], latency[TUNED])
        yield speed, f"of the speed of {_who(result.deployed)}: the tuned model"
    elif result.deployed == TUNED and result.baseline != TUNED:
        yield ratio(latency[result.baseline], result.best_ms), f"as fast as {_who(result.baseline)}"
    tuned = sum(task.configuration is not None for task in result.tasks)
    if result.tasks:
        yield f"{tuned} of {len(result.tasks)}", "kernels have a schedule that the search found"
    trials = plural(result.trials["attempted"], "trial")
    yield clock(result.seconds["total"]), f"of tuning, {trials}"


def _who(name: str) -> str:
    return {TUNED: "the tuned model", "untuned": "TVM untuned"}.get(name, name)


def latencies(result: Result) -> list[Row]:
    """Return the latencies of whole models, the fastest first."""
    today = result.latency_ms[result.baseline]
    finite = [ms for ms in result.latency_ms.values() if math.isfinite(ms)]
    return [
        Row(
            _who(name),
            (f"{significant(ms)} ms", _relative(name, ms, result.baseline, today)),
            _share(ms, max(finite)),
            "after" if name == TUNED else "other",
            "deployed" if name == result.deployed else "",
        )
        for name, ms in sorted(result.latency_ms.items(), key=lambda item: item[1])
    ]


def _relative(name: str, ms: float, baseline: str, today_ms: float) -> str:
    if name == baseline and name != TUNED:
        return "before tuning"
    return f"{ratio(today_ms, ms)} as fast"


def rivals(data: Mapping[str, Any]) -> list[Row]:
    """Return what `versus.json` says of the runtimes that were timed side by side.

    Args:
        data: Content of the file.

    Returns:
        The runtimes, ours first.

    Raises:
        KeyError: Something is missing.
        TypeError: Something is of another kind.
        ValueError: Something is no number.
    """
    runtimes = [
        (f"{one['name']} {one['version']}", float(one["median_ms"]), one["ratio"])
        for one in data["runtimes"]
    ]
    longest = max((ms for _, ms, _ in runtimes), default=0.0)
    return [
        Row(
            name,
            (f"{significant(ms)} ms", "" if its is None else f"{float(its):.2f}x as fast"),
            _share(ms, longest),
            "after" if its is None else "other",
        )
        for name, ms, its in runtimes
    ]


def variants(result: Result) -> list[Row]:
    """Return the latencies for every variant of the shapes, where there are several."""
    return [
        Row(
            variant.shapes,
            [significant(variant.latency_ms.get(name, math.inf)) for name in result.latency_ms]
            + [_who(variant.deployed)],
            0.0,
            "",
            notes=[variant.reason] if variant.reason else (),
        )
        for variant in result.variants
    ]


def time_rows(result: Result) -> list[Row]:
    """Return where the time of the run went, the longest first."""
    total = result.seconds["total"]
    spent = {key: result.seconds.get(key, 0.0) for key in DOING}
    return [
        Row(DOING[key], (f"{secs:,.1f} s", percent(secs, total)), _share(secs, total), key)
        for key, secs in sorted(spent.items(), key=lambda item: -item[1])
        if secs > 0
    ]


def trial_rows(result: Result) -> list[Row]:
    """Return how the trials ended, by status."""
    trials = result.trials
    failed = sorted(trials["failed"].items(), key=lambda item: -item[1])
    ended = [
        ("measured", trials["measured"], "after"),
        ("censored: the first run was clearly slower", trials["censored"], "before"),
        *((f"failed: {name.replace('_', ' ')}", count, "failed") for name, count in failed),
    ]
    whole = trials["attempted"]
    return [
        Row(name, (f"{count:,}", percent(count, whole)), _share(count, whole), tone)
        for name, count, tone in ended
        if count
    ]


def place_rows(result: Result) -> list[Row]:
    """Return what runs where: the kernels of TVM, and the parts in onnxruntime."""
    if result.deployed != TUNED:
        if result.deployed != ONNXRUNTIME:
            return [Row("compiled by TVM without tuning", ("100%",), 1.0, "before")]
        return [Row("onnxruntime", ("100%",), 1.0, "other", notes=["the whole model"])]
    outside = math.fsum(part.share for part in result.parts)
    compiled = max(0.0, 1.0 - outside)
    kernels = plural(len(result.tasks), "distinct kernel")
    ours = Row("compiled by TVM", (percent(compiled, 1.0),), compiled, "after", notes=[kernels])
    parts = sorted(result.parts, key=lambda part: -part.share)
    return [ours, *(_part_row(part) for part in parts)]


def _part_row(part: PartResult) -> Row:
    counts = Counter(part.operators).most_common()
    operators = ", ".join(f"{count} {name}" for name, count in counts)
    share = min(1.0, max(0.0, part.share))
    return Row(
        "onnxruntime", (percent(share, 1.0),), share, "other", notes=[operators, *part.reasons]
    )


def facts(result: Result, device: str) -> list[tuple[str, str]]:
    """Return the conditions of the run, by name."""
    found = [
        ("machine", f"{device}, {plural(result.threads, 'thread')}" if device else ""),
        ("threads", "" if device else f"{result.threads}"),
        ("target", json.dumps(dict(result.target), sort_keys=True) if result.target else ""),
        ("recipe", f"{result.recipe}, seed {result.seed}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in result.versions.items())),
    ]
    return [(name, value) for name, value in found if value]


def _share(part: float, whole: float) -> float:
    known = math.isfinite(part) and 0 < whole < math.inf
    return min(1.0, max(0.0, part / whole)) if known else 0.0
