"""What the limit on compiling would have saved in recorded searches, and what it would have lost.

    python benchmarks/builds.py benchmarks/recordings/prior-256/*.gz

A line for each recording in which it would have refused the fastest configuration, or a tenth of
those within 10% of it; then all together. What it saves is before the worker that was killed for it
is replaced (0.2 s).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from chameleon_tuner.bench.recording import read_recordings
from chameleon_tuner.measure.local.limits import CompileLimit, Timeouts


def main() -> None:
    """See the module."""
    searches = lost = 0
    spent, saved = [], []
    for path in map(Path, sys.argv[1:]):
        for recording in read_recordings([path]):
            built = [outcome for outcome in recording.outcomes if outcome.build_secs > 0]
            builds = np.array([outcome.build_secs for outcome in built])
            seconds = np.array([outcome.seconds for outcome in built])
            limit, limits = CompileLimit(Timeouts().compile), []
            for secs in builds.tolist():
                limits.append(limit.secs(recording.task))
                limit.observe(recording.task, min(secs, limits[-1]))
            refused = builds > np.array(limits)
            near = seconds <= 1.1 * seconds.min()
            if refused[seconds.argmin()] or refused[near].mean() > 0.1:
                print(
                    f"{recording.task.name}: loses {refused[near].sum()} of {near.sum()} good ones"
                )
            searches += 1
            lost += bool(refused[seconds.argmin()])
            spent.append(builds.sum())
            saved.append((builds - limits)[refused].sum())
    shares = 100 * np.array(saved) / spent
    print(
        f"{searches} searches, {lost} of which lose their fastest; building takes "
        f"{100 * sum(saved) / sum(spent):.1f}% less, {shares.min():.1f} to {shares.max():.1f}% of "
        "a search"
    )


if __name__ == "__main__":
    main()
