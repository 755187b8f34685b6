"""What candidates that take long to build cost a comparison's runs, and what they find.

    python benchmarks/slow_builds.py benchmarks/results/paper-layers-256-zen5

For each recipe and each multiple of the median of a run: how many of the candidates took more, and
how much of all building; how many of those within 5% of a run's fastest were among them, and in
how many runs the fastest. Who knew them all and refused them would save that and lose those.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from chameleon_tuner.ports.runlog import RunLog
from kept import logs_of

MULTIPLES = (2, 3, 4, 6)


def main() -> None:
    """See the module."""
    by_recipe: dict[str, list[RunLog]] = defaultdict(list)
    for log in logs_of(Path(sys.argv[1])):
        if any(np.isfinite(trial.build_secs) for trial in log.trials):  # MetaSchedule does not say
            by_recipe[log.recipe].append(log)
    for recipe, logs in by_recipe.items():
        for multiple in MULTIPLES:
            slow, building, near, fastest = np.mean([_of(log, multiple) for log in logs], axis=0)
            print(
                f"{recipe}: {slow:.1%} of the candidates took more than {multiple} medians, "
                f"{building:.1%} of the building; {near:.1%} of those near the fastest, "
                f"the fastest in {fastest * len(logs):.0f} of {len(logs)} runs"
            )


def _of(log: RunLog, multiple: int) -> tuple[float, float, float, float]:
    """Shares of candidates, of building and of what is near the fastest; 1 for the fastest."""
    builds = np.array([trial.build_secs for trial in log.trials])
    seconds = np.array([trial.own_secs for trial in log.trials])
    builds = np.where(np.isfinite(builds), builds, 0.0)
    usual = np.median(builds[builds > 0])
    slow, near = builds > multiple * usual, seconds < 1.05 * seconds.min()
    building = builds[slow].sum() / builds.sum()
    return slow.mean(), building, slow[near].mean(), float(slow[seconds.argmin()])


if __name__ == "__main__":
    main()
