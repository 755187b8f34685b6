"""Tune the networks of the corpus and time them beside onnxruntime, one after the other."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from exporting import INPUTS, MODEL, Entry, entries
from watching import watched

CHAMELEON = (sys.executable, "-m", "chameleon_tuner")


def run(folder: Path, names: Sequence[str], budget: str, out: Path) -> None:
    """Take networks through Chameleon; those that have a row already are left out.

    Args:
        folder: The folder of the corpus.
        names: Names of networks or families; all that were exported if empty.
        budget: The time budget of each.
        out: The file of results, to which a line is added for each.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        done = {row["name"] for row in rows(out)}
        left = [entry for entry in entries(folder, names) if entry.name not in done]
        for number, entry in enumerate(left, 1):
            print(f"{number}/{len(left)} {entry.name}: ", end="", flush=True)
            row = measured(folder / entry.name, entry, budget, out.with_suffix("") / entry.name)
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(_said(row), flush=True)


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the results of a file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def measured(place: Path, entry: Entry, budget: str, tuned: Path) -> dict[str, Any]:
    """Tune a network and compare it.

    Args:
        place: The folder of the network.
        entry: What is known of it.
        budget: The time budget.
        tuned: The folder of the result; what an interrupted run left there is removed.

    Returns:
        The row of results.
    """
    shutil.rmtree(tuned, ignore_errors=True)
    options = [word for name, sizes in entry.shapes.items() for word in _shape(name, sizes)]
    options += _inputs("tune", place)
    begin = datetime.now(timezone.utc)
    model = str(place / MODEL)
    command = [
        *CHAMELEON,
        "tune",
        model,
        "--out",
        str(tuned),
        "--time-budget",
        budget,
        "--quiet",
        "--no-store",
    ]
    ended = watched([*command, *options])
    summary = _json(tuned / "summary.json") if ended.code == 0 else {}
    return {
        "name": entry.name,
        "family": entry.family,
        "made": entry.made,
        "nodes": entry.nodes,
        "parameters": entry.parameters,
        "file_bytes": entry.file_bytes,
        "budget": budget,
        "exit_code": ended.code,
        "error": ended.error,
        "tune_secs": round(ended.secs, 1),
        "first_candidate_secs": _first_candidate(tuned / "records.db", begin),
        "peak_bytes": ended.peak_bytes,
        "verified": summary.get("verified"),
        "latency_ms": summary.get("latency_ms", {}),
        "deployed": summary.get("deployed"),
        "reason": summary.get("reason", ""),
        "tuned_flops_share": _tuned_flops(summary),
        "parts_share": sum(part["share"] for part in summary.get("parts", [])),
        "trials": summary.get("trials", {}).get("measured"),
        "versus": _versus(model, place, tuned) if ended.code == 0 else None,
    }


def _shape(name: str, sizes: Sequence[int]) -> list[str]:
    return ["--shape", f"{name}={','.join(map(str, sizes))}"]


def _inputs(command: str, place: Path) -> list[str]:
    """Return the option that gives the inputs, if the command has it."""
    return ["--inputs", str(place / INPUTS)] if "--inputs" in _help(command) else []


@cache
def _help(command: str) -> str:
    return subprocess.run(
        [*CHAMELEON, command, "--help"], capture_output=True, text=True, check=True
    ).stdout


def _first_candidate(records: Path, begin: datetime) -> float | None:
    """Return seconds until the first measurement was recorded, or nothing if none was."""
    if not records.exists():
        return None
    with closing(sqlite3.connect(f"file:{records}?mode=ro", uri=True)) as database:
        try:
            (first,) = database.execute("SELECT min(created_at) FROM record").fetchone()
        except sqlite3.Error:
            return None
    if first is None:
        return None
    when = datetime.fromisoformat(first).replace(tzinfo=timezone.utc)
    return round((when - begin).total_seconds(), 1)


def _tuned_flops(summary: dict[str, Any]) -> float | None:
    """Return the share of the tasks' floating-point operations that run in tuned kernels."""
    work = {True: 0.0, False: 0.0}
    for task in summary.get("tasks", []):
        tuned = task["configuration"] is not None and summary.get("deployed") == "tuned"
        work[tuned] += task["weight"] * task["flops"]
    total = sum(work.values())
    return work[True] / total if total else None


def _versus(model: str, place: Path, tuned: Path) -> dict[str, Any]:
    """Compare in turns; the interval of the ratio is that of the two medians at their worst."""
    command = [*CHAMELEON, "versus", model, str(tuned), "--runtimes", "onnxruntime"]
    ended = watched([*command, *_inputs("versus", place)])
    found = _json(tuned / "versus.json") if ended.code == 0 else {}
    timed = {runtime["name"]: runtime for runtime in found.get("runtimes", [])}
    if "onnxruntime" not in timed:
        reasons = [broken["reason"] for broken in found.get("failed", [])]
        return {"error": ended.error or "; ".join(reasons)}
    ours, theirs = timed["chameleon"], timed["onnxruntime"]
    low, high = zip(ours["interval_ms"], reversed(theirs["interval_ms"]), strict=True)
    return {
        "chameleon_ms": ours["median_ms"],
        "onnxruntime_ms": theirs["median_ms"],
        "ratio": theirs["ratio"],
        "interval": theirs.get("ratio_interval") or [low[0] / low[1], high[0] / high[1]],
        "difference": theirs["error"],
    }


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _said(row: dict[str, Any]) -> str:
    if row["exit_code"] != 0:
        return f"FAILED with {row['exit_code']}: {row['error']}"
    ratio = row["versus"].get("ratio")
    beside = f"{ratio:.3f} of onnxruntime's time" if ratio else row["versus"]["error"]
    return f"{row['deployed']} is deployed, {beside}, {row['tune_secs']:.0f} s"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the corpus for this run: two at once would disturb each other's timings."""
    with (folder / "run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(f"another run of {folder} is going on; wait for it, or end it")
        yield
