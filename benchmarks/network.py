"""A network tuned by TVM's own MetaSchedule, for a place beside others.

    python benchmarks/network.py MODEL.onnx OUT [--trials 640] [--a-round 32] [--seed 0]

It is `tune_relax` as it comes, gradient scheduler included, on the kernels that
`chameleon tune --no-winograd --no-separable` has; but for the trials a round: with its default of
64, 640 trials would reach half of ResNet-18's kernels. Prints the seconds from the start of the
process to the end of the search; `benchmarks/beside.py OUT FOLDER_OF_CHAMELEON` times the outcome.
Its scheduler takes a round's results in when it comes back to the task, so nothing can be had
before every kernel had its round.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from chameleon_tuner.compare.eased import eased_path
from chameleon_tuner.machine import thread_environment, usable_cores
from chameleon_tuner.stopwatch import Stopwatch


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--a-round", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    clock = Stopwatch(from_process_start=True)
    asked.out.mkdir(parents=True)
    threads = usable_cores()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.update(thread_environment(threads))
        os.environ["PYTHONPATH"] = eased_path(Path(scratch))
        network = prepared(asked.model, threads)
        tune(network, asked)
    print(f"{asked.trials} trials after {clock.total():.0f} s")
    build(network, asked.out)


def prepared(model: Path, threads: int) -> Any:
    """The model's kernels."""
    from chameleon_tuner.tvm import frontend, prepare

    program = frontend.import_model(str(model), None)
    return prepare.prepare(program, prepare.open_target("auto", threads), threads)


def tune(network: Any, asked: argparse.Namespace) -> None:
    """MetaSchedule's run, its database in the folder."""
    from tvm.s_tir import meta_schedule

    from chameleon_tuner.tvm.peer import search_seed

    meta_schedule.relax_integration.tune_relax(
        network.lowered,
        {},
        network.target,
        str(asked.out),
        asked.trials,
        num_trials_per_iter=asked.a_round,
        seed=search_seed(asked.seed),
    )


def build(network: Any, folder: Path) -> None:
    """Make a tuned folder of one that has a database."""
    from tvm.relax.transform import MetaScheduleApplyDatabase
    from tvm.s_tir import meta_schedule

    from chameleon_tuner.tvm.build import export
    from chameleon_tuner.tvm.database import RECORDS, WORKLOADS
    from chameleon_tuner.tvm.deploy import LIBRARY, Manifest
    from chameleon_tuner.tvm.lower import finish

    known = meta_schedule.database.JSONDatabase(str(folder / WORKLOADS), str(folder / RECORDS))
    with network.target, known:
        applied = MetaScheduleApplyDatabase()(network.lowered)
    export(finish(applied, network.target), folder / LIBRARY)
    Manifest.of(network.program, network.target, network.threads).write(folder)


if __name__ == "__main__":
    main()
