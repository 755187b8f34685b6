"""How much of a search was spent on variations of few micro-kernels.

    python benchmarks/microkernels.py benchmarks/results/paper-layers-256-avx2

A micro-kernel is the innermost sizes of all tiles: what is unrolled, vectorised and held in
registers. For each run of a comparison: its trials, how many micro-kernels they are of, the share
of the two that have most, and the own microseconds and innermost sizes of the fastest.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from chameleon_tuner.bench.compare.folder import RECORDING
from chameleon_tuner.bench.recording import read_recordings
from kept import logs_of


def main() -> None:
    """See the module."""
    folder = Path(sys.argv[1])
    tasks = [recording.task for recording in read_recordings([folder / RECORDING])]
    spaces = {task.name: task.space for task in tasks}
    for log in logs_of(folder):
        space = spaces[log.task]
        known = [trial for trial in log.trials if trial.configuration]
        rows = space.rows([trial.configuration for trial in known])
        counts = Counter(space.micro_kernels(rows).tolist())
        most = sum(count for _, count in counts.most_common(2))
        fastest = min(range(len(rows)), key=lambda n: known[n].own_secs)
        sizes = space.innermost(rows[fastest : fastest + 1])[0]
        print(
            f"{log.task:12} {log.recipe:17} seed {log.seed}: {len(known)} trials of "
            f"{len(counts)}, {100 * most // len(known)}% of two; "
            f"{known[fastest].own_secs * 1e6:,.0f} us with {tuple(sizes[sizes > 0].tolist())}"
        )


if __name__ == "__main__":
    main()
