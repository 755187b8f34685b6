"""From a suite's tasks to what a run's process searches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.bench.compare import arenas as arena
from chameleon_tuner.bench.compare import processes as contender
from chameleon_tuner.bench.compare.arenas import MachineArena
from chameleon_tuner.bench.compare.contest import Contestant, Run
from chameleon_tuner.bench.compare.folder import Folder
from chameleon_tuner.bench.compare.processes import Assignment
from chameleon_tuner.bench.compare.searching import Terms
from chameleon_tuner.bench.compare.suites import tasks_of
from chameleon_tuner.space.task import NARROW, WIDE, Task
from chameleon_tuner.system.clock import Stopwatch


@pytest.mark.parametrize("bits", [NARROW, WIDE])
def test_a_run_searches_the_task_that_the_suite_has(
    bits: int, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By way of the folder, and as an argument of a process."""
    task = replace(tasks_of(str(tiny_onnx))[0], vector_bits=bits)
    folder = Folder(tmp_path / "out")
    folder.begin({})
    folder.keep_tasks([task])
    assert folder.tasks() == [task]
    found: list[Task] = []
    monkeypatch.setattr(contender, "searched", lambda task, *_: found.append(task))

    def in_this_process(assignment: Assignment, messages: Path) -> Any:
        received = Assignment.from_text(assignment.to_text())
        return contender._recipe(received, Stopwatch(), lambda log: None)

    monkeypatch.setattr(arena, "run_process", in_this_process)
    run = Run(Contestant("random", "random"), task.name, Terms("random", 0, 1))
    list(MachineArena(str(tiny_onnx), "auto").run([run], folder))
    [searched] = found
    assert (searched.name, searched.key, searched.space) == (task.name, task.key, task.space)
    assert (searched.module, searched.target) == (task.module, task.target)
    assert searched.vector_bits == bits
