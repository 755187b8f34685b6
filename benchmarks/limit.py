"""How far a comparison's recipes end from the best configuration that anybody measured.

    python benchmarks/limit.py benchmarks/results/paper-layers [MORE.jsonl.gz ...]

Takes what all tuners measured on a task, and other recordings of it, together: the limit of the
space, as far as it is known. Of MetaSchedule, whose candidates are in no recording, the best of
each run. Both sides are times of the tuners' own engine, and the least of thousands of timings is
one of a quiet moment: a recipe at 1.00 would have been lucky, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import geometric_mean

from chameleon_tuner.bench.compare.folder import RECORDING, RESULTS
from chameleon_tuner.bench.recording import read_recordings


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("recordings", nargs="*", type=Path)
    asked = parser.parse_args()
    results = json.loads((asked.folder / RESULTS).read_text())
    curves, flops = results["curves"], {task["name"]: task["flops"] for task in results["tasks"]}
    measured = _measured([asked.folder / RECORDING, *asked.recordings])
    recipes = list(dict.fromkeys(curve["recipe"] for curve in curves))
    ratios = []
    print(f"{'task':12} {'measured':>8} {'best us':>9} {'GFLOP/s':>8}  " + "  ".join(recipes))
    for task, configurations in measured.items():
        own = [[c["own_us"][-1] for c in curves if _is(c, task, recipe)] for recipe in recipes]
        best = min(1e6 * min(configurations.values()), *map(min, own))
        ratios.append([geometric_mean(times) / best for times in own])
        row = "  ".join(f"{r:{len(n)}.2f}" for r, n in zip(ratios[-1], recipes, strict=True))
        rate = 1e-3 * flops[task] / best
        print(f"{task:12} {len(configurations):8} {best:9.5g} {rate:8.0f}  {row}")
    means = [geometric_mean(column) for column in zip(*ratios, strict=True)]
    row = "  ".join(f"{m:{len(n)}.3f}" for m, n in zip(means, recipes, strict=True))
    print(f"{'geomean':40}  {row}")


def _measured(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Seconds by configuration and task, the least where there are several."""
    found: dict[str, dict[str, float]] = {}
    for path in paths:
        for recording in read_recordings([path]):
            mine = found.setdefault(recording.task.name, {})
            for outcome in recording.outcomes:
                key = json.dumps(outcome.configuration.to_json())
                mine[key] = min(outcome.seconds, mine.get(key, outcome.seconds))
    return found


def _is(curve: dict[str, object], task: str, recipe: str) -> bool:
    return (curve["task"], curve["recipe"]) == (task, recipe)


if __name__ == "__main__":
    main()
