"""The results of the corpus as Markdown."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

MARGIN = 0.02
"""Ratios within 2% of parity count as equal."""

HEADER = (
    "network", "family", "nodes", "M weights", "result", "ms", "ours / onnxruntime", "interval",
    "tuned ms", "untuned ms", "deployed", "verified", "tuned FLOP", "time in parts", "first s",
    "total s", "peak MB",
)  # fmt: skip
LEFT = 2
"""Columns of text; the others are aligned to the right."""

SHOWN = 300
"""Characters of a message; the file of results has all."""

VERDICTS = ("faster", "equal", "slower")


def verdict(row: Row) -> str:
    """Return how a network compares: slower and faster only if the interval agrees."""
    if row["exit_code"] != 0:
        return "not taken"
    if "ratio" not in row["versus"]:
        return "not compared"
    ratio, (low, high) = row["versus"]["ratio"], row["versus"]["interval"]
    if ratio > 1 + MARGIN and low > 1:
        return "slower"
    return "faster" if ratio < 1 - MARGIN and high < 1 else "equal"


def failed(rows: Sequence[Row]) -> list[Row]:
    """Return the networks that are not taken or not compared."""
    return [row for row in rows if verdict(row).startswith("not")]


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table and of the summary."""
    ordered = sorted(rows, key=lambda row: (row["family"], row["name"]))
    marks = ["---"] * LEFT + ["---:"] * (len(HEADER) - LEFT)
    lines = [_line(HEADER), _line(marks), *(_line(_cells(row)) for row in ordered)]
    wrong = [(row["error"] or row["versus"].get("error"), row["name"]) for row in failed(ordered)]
    stayed = [(row["reason"], row["name"]) for row in ordered if row["reason"]]
    lines += ["", *summary(ordered), *_causes("What went wrong:", wrong)]
    return [*lines, *_causes("Why the tuned model is not deployed:", stayed)]


def summary(rows: Sequence[Row]) -> list[str]:
    """Return the lines that sum up all networks."""
    counts = Counter(map(verdict, rows))
    taken = [row for row in rows if row["exit_code"] == 0]
    ratios = [row["versus"]["ratio"] for row in taken if "ratio" in row["versus"]]
    lines = [
        f"- {len(taken)} of {len(rows)} networks are taken; "
        f"{sum(bool(row['verified']) for row in taken)} of them are verified.",
        f"- Beside onnxruntime {', '.join(f'{counts[name]} are {name}' for name in VERDICTS)} "
        f"(by more than {MARGIN:.0%}, with an interval without parity); "
        f"{counts['not compared']} could not be compared.",
    ]
    if ratios:
        mean = math.exp(statistics.mean(map(math.log, ratios)))
        lines.append(f"- The geometric mean of ours / onnxruntime is {mean:.3f}.")
    if taken:
        most = max(taken, key=lambda row: row["peak_bytes"])
        median = statistics.median(row["peak_bytes"] for row in taken)
        lines.append(
            f"- The tuning process takes {median / 1e6:.0f} MB (median), at most "
            f"{most['peak_bytes'] / 1e6:.0f} MB, for the {most['file_bytes'] / 1e6:.0f} MB of "
            f"{most['name']}."
        )
    return lines


def _cells(row: Row) -> list[str]:
    versus, latency = row["versus"] or {}, row["latency_ms"]
    share = row["tuned_flops_share"]
    return [
        row["name"],
        row["family"],
        str(row["nodes"]),
        f"{row['parameters'] / 1e6:.1f}",
        verdict(row),
        _number(versus.get("chameleon_ms")),
        _number(versus.get("ratio")),
        " to ".join(map(_number, versus.get("interval", []))),
        _number(latency.get("tuned")),
        _number(latency.get("untuned")),
        row["deployed"] or "",
        {True: "yes", False: "NO", None: ""}[row["verified"]],
        "" if share is None else f"{share:.0%}",
        f"{row['parts_share']:.0%}" if row["parts_share"] else "",
        _number(row["first_candidate_secs"]),
        f"{row['tune_secs']:.0f}",
        f"{row['peak_bytes'] / 1e6:.0f}",
    ]


def _causes(title: str, found: Sequence[tuple[str, str]]) -> list[str]:
    """Return a list of messages with the networks of each, the most frequent first."""
    names: dict[str, list[str]] = defaultdict(list)
    for cause, name in found:
        names[cause].append(name)
    ordered = sorted(names.items(), key=lambda cause: -len(cause[1]))
    lines = [f"- {', '.join(names)}: {cause[:SHOWN]}" for cause, names in ordered]
    return ["", title, "", *lines] if lines else []


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
