"""Design spaces from workers, some of which die of a kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from toy_handler import KERNELS, SPACE, Kernels

from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.measure.local.designer import LocalDesigner
from chameleon_tuner.measure.local.limits import Timeouts, loading
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.handler import DeriveSpace
from chameleon_tuner.space.task import Task


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def pool(log: Path) -> Iterator[WorkerPool[Kernels]]:
    with WorkerPool(KERNELS, 2, {"PYTHONPATH": str(Path(__file__).parent)}) as pool:
        yield pool


def kernels(*modules: str) -> list[DeriveSpace]:
    return [DeriveSpace(f"{module} {n}", module, {}) for n, module in enumerate(modules)]


def derived(log: Path) -> Sequence[str]:
    lines = log.read_text().splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith("derive")]


def test_every_kernel_is_derived_once_and_answered_in_order(
    pool: WorkerPool[Kernels], log: Path
) -> None:
    asked = kernels(*"abcdefgh")
    assert LocalDesigner(pool).designs(iter(asked)) == [SPACE] * 8
    assert sorted(derived(log)) == [kernel.key for kernel in asked]
    assert LocalDesigner(pool).designs([]) == []


@pytest.mark.parametrize("module", ["spaceless", "scarce", "deadly", "endless"])
def test_what_has_no_space_or_ends_its_worker_has_none(
    pool: WorkerPool[Kernels], module: str
) -> None:
    designer = LocalDesigner(pool, Timeouts(load=3.0))
    found = designer.designs(kernels("a", module, "b", module, "c"))
    assert found == [SPACE, None, SPACE, None, SPACE]


def test_a_worker_need_not_load_what_it_derived(pool: WorkerPool[Kernels], log: Path) -> None:
    asked = kernels(*"abcdef")
    LocalDesigner(pool).designs(asked)
    tasks = [Task(kernel.key, kernel.key, kernel.module, {}, SPACE) for kernel in asked]
    requests = {
        (worker.pid, task.key): list(loading(task, worker, Timeouts()))
        for worker in pool.workers
        for task in tasks
    }
    assert sum(not sent for sent in requests.values()) == len(tasks)
    assert sum(len(sent) for sent in requests.values()) == len(tasks)  # of the other worker


def test_a_failure_that_is_no_kernels_is_an_error(pool: WorkerPool[Kernels]) -> None:
    with pytest.raises(MeasurementError, match="no such module"):
        LocalDesigner(pool).designs(kernels("a", "broken"))
    assert LocalDesigner(pool).designs(kernels("a")) == [SPACE]
