"""How fast kernels are by default, measured while there is time and estimated for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from chameleon_tuner.app.defaults import time_defaults, with_estimates
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import Failed, Timed
from chameleon_tuner.ports.judge import Final, Judged
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import tiny_space

WORK = {"light": (1, 10.0), "heavy": (1, 40.0), "often": (3, 20.0), "copies": (1, 0.0)}
KERNELS = {
    name: [Task(name, name, "", {}, tiny_space(), weight, flops)]
    for name, (weight, flops) in WORK.items()
}


class Judges:
    """Takes a tenth of a second for an operation, and a crash for the last kernel."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def judge(self, finals: Sequence[Final], tolerance: float) -> Iterator[Judged]:
        for final in finals:
            self.asked.append(final.task.name)
            assert not final.finalists
            if final.task.flops:
                yield [Timed((final.task.flops / 10,), 0.0)]
            else:
                yield Failed(Status.CRASHED, "SIGSEGV", fatal=True)


def test_heavy_kernels_are_timed_first_and_failures_are_infinite() -> None:
    judges = Judges()
    found = time_defaults(judges, KERNELS, lambda: False)
    assert judges.asked == ["often", "heavy", "light", "copies"]
    assert found == {"often": 2.0, "heavy": 4.0, "light": 1.0, "copies": math.inf}
    assert with_estimates(found, KERNELS) == found


def test_without_time_the_rest_is_estimated_by_its_arithmetic() -> None:
    judges = Judges()
    found = time_defaults(judges, KERNELS, lambda: len(judges.asked) == 2)
    assert judges.asked == ["often", "heavy"]
    assert with_estimates(found, KERNELS) == {**found, "light": 1.0, "copies": 0.0}
    assert with_estimates({}, KERNELS) == {}
