"""The tables of a comparison again, from its results.json alone.

    python benchmarks/merit.py benchmarks/results/paper-layers [--reference autotvm]
        [--tasks alexnet-1,...]

For another reference than the comparison had, or for some of its tasks.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chameleon_tuner.bench.compare.folder import RESULTS
from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.merit import figures_of_merit
from chameleon_tuner.bench.paper.tables import paper_tables
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.report.compare.page import summary
from chameleon_tuner.report.compare.tables import merit_tables, paper_section
from chameleon_tuner.report.sections import terminal_table


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reference")
    parser.add_argument("--tasks", default="", help="names of some; all if left out")
    asked = parser.parse_args()
    results = json.loads((asked.folder / RESULTS).read_text())
    weights = {task["name"]: float(task["weight"]) for task in results["tasks"]}
    chosen = asked.tasks.split(",") if asked.tasks else list(weights)
    if not weights.keys() >= set(chosen):
        parser.error(f"--tasks: choose of {', '.join(weights)}")
    curves = [_curve_of(curve) for curve in results["curves"] if curve["task"] in chosen]
    try:
        merit = figures_of_merit(curves, asked.reference or results["merit"]["reference"])
    except UsageError as error:
        parser.error(str(error))
    for table in (*merit_tables(merit), *paper_section(paper_tables(curves, weights))):
        lines = terminal_table(table.header, table.rows, left=1)
        print(table.title, *lines, *filter(None, [table.note]), "", sep="\n")
    print(summary(merit))


def _curve_of(plain: Mapping[str, Any]) -> Curve:
    """Inverse of how results.json has it: null is infinite."""
    best_us = [math.inf if us is None else us for us in plain["best_us"]]
    final_us = math.inf if plain["final_us"] is None else plain["final_us"]
    return Curve(**{**plain, "best_us": best_us, "final_us": final_us})


if __name__ == "__main__":
    main()
