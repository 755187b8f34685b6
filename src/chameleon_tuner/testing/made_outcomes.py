"""Made-up runs, workloads, environments and outcomes, to try stores of records with."""

from __future__ import annotations

import itertools
from dataclasses import replace

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.records import Environment, RunInfo, Workload
from chameleon_tuner.space import Configuration

RUN = RunInfo("sha256:00ff", "chameleon", 7, {"trials": 100, "targets": ["llvm"]})
WORKLOAD = Workload("8f3a", "conv2d_relu", '{"nodes": []}')
ENVIRONMENT = Environment('{"kind": "llvm"}', "some cpu", 2, {"tvm": "0.27.0", "llvm": "18"})

_numbers = itertools.count()


def new_workload() -> Workload:
    """A workload that no test used yet."""
    return replace(WORKLOAD, hash=f"workload-{next(_numbers)}")


def make_outcome(number: int, **changes: object) -> Outcome:
    """The outcome of configuration `number`, a module of its own unless changed."""
    configuration = Configuration(0, (number, 1))
    samples = (1e-3 + number * 1e-7, 1.1e-3)
    outcome = Outcome(configuration, configuration, f"module-{number}", Status.OK, samples)
    return replace(outcome, **changes)  # type: ignore[arg-type]


def in_world(proposed: Configuration, measured: int) -> Outcome:
    """What a deterministic compiler and a noisy clock would answer.

    The read-back configuration follows from the proposed one, the module from the read-back one;
    both many to one. `measured` stands for the noise.
    """
    ran = Configuration(proposed.sketch, tuple(min(index, 2) for index in proposed.indices))
    return make_outcome(
        measured, configuration=ran, proposed=proposed, structural_hash=f"{sum(ran.indices)}"
    )
