"""The logs of a comparison's runs, packed.

    python benchmarks/kept.py FOLDER

Of a comparison this repository keeps `results.json` and `recording.jsonl.gz`, and in docs/figures
the figures that docs/evaluation.md and docs/log.md show. Where a script asks what each run tried,
and in which order, the logs are kept, too, in `runs.jsonl.gz`, which this writes: a line a run, as
the run wrote it, but without the traces of what has no configuration, and with 9 digits.
"""

from __future__ import annotations

import gzip
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from chameleon_tuner.ports.runlog import RunLog, Trial, read_log, write_log

RUNS = "runs.jsonl.gz"


def main() -> None:
    """See the module."""
    folder, lines = Path(sys.argv[1]), []
    with TemporaryDirectory() as scratch:
        one = Path(scratch) / "log.json"
        for log in _written(folder):
            write_log(replace(log, trials=tuple(map(_shortened, log.trials))), one)
            lines.append(one.read_text() + "\n")
    (folder / RUNS).write_bytes(gzip.compress("".join(lines).encode(), mtime=0))


def logs_of(folder: Path) -> list[RunLog]:
    """The logs of a folder's runs, packed or as `chameleon compare` wrote them."""
    if not (folder / RUNS).exists():
        return _written(folder)
    logs = []
    with gzip.open(folder / RUNS, "rt") as lines, TemporaryDirectory() as scratch:
        one = Path(scratch) / "log.json"
        for line in lines:
            one.write_text(line)
            logs.append(read_log(one))
    return logs


def _written(folder: Path) -> list[RunLog]:
    return [read_log(path) for path in sorted((folder / "runs").glob("*.json"))]


def _shortened(trial: Trial) -> Trial:
    costs = (trial.own_secs, trial.build_secs, trial.run_secs)
    own, build, run = (float(f"{secs:.9g}") for secs in costs)
    return replace(trial, own_secs=own, build_secs=build, run_secs=run, trace=None)


if __name__ == "__main__":
    main()
