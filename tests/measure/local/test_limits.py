"""What a worker may use, by the size of the machine."""

from __future__ import annotations

import math

import pytest

from chameleon_tuner.measure.local import worker
from chameleon_tuner.measure.local.limits import CompileLimit
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task

GIB = 2**30


@pytest.mark.parametrize(
    ("machine_gib", "workers", "least_gib"),
    [(24, 2, 8), (16, 8, 4), (4, 2, 2), (2, 1, 1), (256, 128, 4), (64, 64, 4), (512, 64, 7)],
)
def test_limits_follow_the_machine(
    monkeypatch: pytest.MonkeyPatch, machine_gib: int, workers: int, least_gib: int
) -> None:
    """A share of the machine, at least what candidates usually take; and the threads' stacks."""
    monkeypatch.setattr(worker, "memory_bytes", lambda: machine_gib * GIB)
    limits = WorkerLimits.of_machine(workers)
    stacks = 2 * workers * 8 * 2**20
    assert limits.memory_bytes >= least_gib * GIB + stacks
    assert limits.memory_bytes - stacks <= max(machine_gib * GIB / 2, 4 * GIB)
    assert 450 * 2**20 <= limits.recycle_bytes <= 900 * 2**20
    assert WorkerLimits.of_one().memory_bytes == machine_gib * GIB


@pytest.mark.parametrize(("times", "secs"), [(8.0, 4.0), (math.inf, 60.0)])
def test_compiling_is_limited_by_what_is_usual_unless_nothing_is(times: float, secs: float) -> None:
    task = Task("toy", "toy", "", {}, DesignSpace((Sketch((Choice((0, 1)),)),)))
    limit = CompileLimit(60.0, times)
    for _ in range(8):
        assert limit.secs(task) == 60.0
        limit.observe(task, 0.5)
    assert limit.secs(task) == secs
