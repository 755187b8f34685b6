"""What a worker may use, by the size of the machine."""

from __future__ import annotations

import pytest

from chameleon_tuner.measure.local import worker
from chameleon_tuner.measure.local.worker import WorkerLimits

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
