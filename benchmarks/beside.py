"""Time tuned folders of one model side by side, turn by turn.

    python benchmarks/beside.py FOLDER FOLDER ... [--rounds 25]

Prints the median of each, and the median over the rounds of its time over the first one's. For what
changed between two ways to tune: they share neighbours, clock and caches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from chameleon_tuner.backends.tvm.deploy.library import Library

TURN_SECS, PAUSE_SECS = 0.3, 0.05


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=25)
    asked = parser.parse_args()
    rounds = turns_of(asked.folders, asked.rounds)
    for number, folder in enumerate(asked.folders):
        median = statistics.median(turns[number] for turns in rounds)
        ratio = statistics.median(turns[number] / turns[0] for turns in rounds)
        print(f"{folder}: {median * 1e3:.3g} ms, {ratio:.3f} of the first")


def turns_of(folders: Sequence[Path], rounds: int) -> list[list[float]]:
    """Seconds of a call of each, in every round."""
    libraries = [Library(folder) for folder in folders]
    inputs = libraries[0].random_inputs(0)
    found = []
    for _ in range(rounds):
        turns = []
        for library in libraries:
            time.sleep(PAUSE_SECS)
            turns.append(library.time(inputs, TURN_SECS))
        found.append(turns)
    return found


if __name__ == "__main__":
    main()
