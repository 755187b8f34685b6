"""A network tuned by TVM's own MetaSchedule, as it is after so many minutes.

    python benchmarks/network.py MODEL.onnx OUT [--minutes 5,10,20] [--a-round 32] [--seed 0]

It is `tune_relax` as it comes, gradient scheduler included, on the kernels that
`chameleon tune --no-winograd --no-separable` has; but for the trials a round: with its default of
64, 640 trials would reach half of ResNet-18's kernels. It is stopped at the end of the round in
which the last of the minutes is over. Writes a tuned folder for each of them, OUT/5m and so on, of
what its database had by then, and prints what that was; `benchmarks/beside.py` times folders side
by side. Its scheduler takes a round's results in when it comes back to the task, so nothing can be
had before every kernel had its round.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.patches import eased_path
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment, usable_cores

ENDLESS = 1_000_000
"""Trials: the minutes end it."""


class TimeIsUpError(Exception):
    """Ends the tuning: MetaSchedule has no time budget of its own."""


@dataclass
class Notes:
    """What the database had when; its `round_over` is called after every round.

    Attributes:
        clock: from the start of the process.
        records: the database's file.
        limit_secs: no round begins after it.
        rounds: seconds, trials and records at the end of every round.
        trials: measured so far.
        over: whether the limit ended it.
    """

    clock: Stopwatch
    records: Path
    limit_secs: float
    rounds: list[tuple[float, int, int]] = field(default_factory=list)
    trials: int = 0
    over: bool = False

    def round_over(self, candidates: Sequence[Any], *_: Any) -> None:
        """Raises TimeIsUpError once the limit is over."""
        self.trials += len(candidates)
        with self.records.open() as lines:
            known = sum(1 for _ in lines)
        self.rounds.append((self.clock.total(), self.trials, known))
        self.over = self.clock.total() > self.limit_secs
        if self.over:
            raise TimeIsUpError

    def by(self, secs: float) -> tuple[int, int]:
        """Trials and records that there were by then."""
        before = [(trials, known) for ended, trials, known in self.rounds if ended <= secs]
        return before[-1] if before else (0, 0)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=minutes, default="5,10,20")
    parser.add_argument("--a-round", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.out.exists():
        parser.error(f"{asked.out} is there already; give another OUT")
    clock = Stopwatch(from_process_start=True)
    threads = usable_cores()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(thread_environment(threads))
        os.environ["PYTHONPATH"] = eased_path(Path(scratch))
        network = prepared(asked.model, threads)
        asked.out.mkdir(parents=True)
        notes = tune(network, asked, clock, 60.0 * asked.minutes[-1])
    for mark in asked.minutes:
        trials, known = notes.by(60.0 * mark)
        print(f"{mark} minutes: {trials} trials taken in, {known} of them in the database")
        if known:
            build(network, asked.out, known, asked.out / f"{mark}m")


def minutes(text: str) -> list[int]:
    return sorted(map(int, text.split(",")))


def prepared(model: Path, threads: int) -> Any:
    """The model's kernels."""
    from chameleon_tuner.backends.tvm.frontend.program import import_model
    from chameleon_tuner.backends.tvm.network import open_target, prepare
    from chameleon_tuner.backends.tvm.rewrites import registered

    program = import_model(str(model), None)
    return prepare(program, open_target("auto", threads), threads, without=registered())


def tune(network: Any, asked: argparse.Namespace, clock: Stopwatch, limit_secs: float) -> Notes:
    """MetaSchedule's run, its database in the folder."""
    from tvm.s_tir import meta_schedule

    from chameleon_tuner.backends.tvm.deploy.build import RECORDS
    from chameleon_tuner.backends.tvm.metaschedule import AfterRound, search_seed

    notes = Notes(clock, asked.out / RECORDS, limit_secs)
    own = meta_schedule.MeasureCallback.create("default")
    try:
        meta_schedule.relax_integration.tune_relax(
            network.lowered,
            {},
            network.target,
            str(asked.out),
            ENDLESS,
            num_trials_per_iter=asked.a_round,
            measure_callbacks=[*own, AfterRound(notes.round_over)],
            seed=search_seed(asked.seed),
        )
    except Exception:  # TVM wraps what a callback raises
        if not notes.over:
            raise
    return notes


def build(network: Any, database: Path, known: int, folder: Path) -> None:
    """Make a tuned folder of the first so many records of a database."""
    from tvm.relax.transform import MetaScheduleApplyDatabase
    from tvm.s_tir import meta_schedule

    from chameleon_tuner.backends.tvm.deploy.build import RECORDS, WORKLOADS, export, manifest_of
    from chameleon_tuner.backends.tvm.lower.graph import finish

    folder.mkdir()
    shutil.copy(database / WORKLOADS, folder / WORKLOADS)
    with (database / RECORDS).open() as lines:
        (folder / RECORDS).write_text("".join(itertools.islice(lines, known)))
    first = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    with network.target, first:
        applied = MetaScheduleApplyDatabase()(network.lowered)
    manifest = manifest_of(network)
    export([finish(applied, network.target)], [manifest], folder)
    manifest.write(folder)


if __name__ == "__main__":
    main()
