"""How much of a search was spent on variations of few micro-kernels.

    python benchmarks/microkernels.py benchmarks/results/paper-layers-256-avx2

A micro-kernel is the innermost sizes of all tiles: what is unrolled, vectorised and held in
registers. For each run of a comparison: its trials, how many micro-kernels they are of, the share
of the two that have most, and the own microseconds and innermost sizes of the fastest.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from chameleon_tuner.compare.runlog import read_log
from chameleon_tuner.space import Configuration, DesignSpace, Tile
from chameleon_tuner.space.plain import from_plain


def main() -> None:
    """See the module."""
    folder = Path(sys.argv[1])
    tasks = json.loads((folder / "tasks.json").read_text())
    spaces = {task["name"]: from_plain(task["space"]) for task in tasks}
    for path in sorted((folder / "runs").glob("*.json")):
        log = read_log(path)
        known = [trial for trial in log.trials if trial.configuration]
        kernels = [_innermost(spaces[log.task], trial.configuration) for trial in known]
        most = sum(count for _, count in Counter(kernels).most_common(2))
        fastest = min(range(len(known)), key=lambda n: known[n].own_secs)
        print(
            f"{log.task:12} {log.recipe:17} seed {log.seed}: {len(known)} trials of "
            f"{len(set(kernels))}, {100 * most // len(known)}% of two; "
            f"{known[fastest].own_secs * 1e6:,.0f} us with {kernels[fastest]}"
        )


def _innermost(space: DesignSpace, configuration: Configuration) -> tuple[int, ...]:
    knobs = space.sketches[configuration.sketch].knobs
    pairs = zip(knobs, configuration.indices, strict=True)
    return tuple(knob.value_at(index)[-1] for knob, index in pairs if isinstance(knob, Tile))


if __name__ == "__main__":
    main()
