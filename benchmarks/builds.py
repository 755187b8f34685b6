"""What a limit on compiling would have saved in recorded searches, and what it would have lost.

    python benchmarks/builds.py benchmarks/recordings/prior-256/*.gz

A search's limit is that of `CompileLimit`, of the median of all its builds. A line for each
recording in which it would have lost the fastest configuration, or a tenth of those within 10% of
it; then all together.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from chameleon_tuner.compare.recording import read_recordings
from chameleon_tuner.measure.requests import CompileLimit, Timeouts


def main() -> None:
    """See the module."""
    searches = lost = 0
    spent, saved = [], []
    for path in map(Path, sys.argv[1:]):
        for recording in read_recordings([path]):
            built = [outcome for outcome in recording.outcomes if outcome.build_secs > 0]
            builds = np.array([outcome.build_secs for outcome in built])
            seconds = np.array([outcome.seconds for outcome in built])
            refused = builds > _limit(builds)
            near = seconds <= 1.1 * seconds.min()
            if refused[seconds.argmin()] or refused[near].mean() > 0.1:
                print(
                    f"{recording.task.name}: loses {refused[near].sum()} of {near.sum()} good ones"
                )
            searches += 1
            lost += bool(refused[seconds.argmin()])
            spent.append(builds.sum())
            saved.append((builds - _limit(builds))[refused].sum())
    share = np.array(saved) / spent
    print(
        f"{searches} searches, {lost} of which lose their fastest; building takes "
        f"{100 * sum(saved) / sum(spent):.1f}% less, {100 * share.min():.1f} to "
        f"{100 * share.max():.1f}% of a search"
    )


def _limit(builds: np.ndarray) -> float:
    limit = CompileLimit(Timeouts().compile, recent=len(builds))
    for secs in builds.tolist():
        limit.observe(secs)
    return limit.secs()


if __name__ == "__main__":
    main()
