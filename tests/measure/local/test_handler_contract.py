"""Every handler keeps the contracts of its parts: the toy, and that of the TVM backend."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_handler import KERNELS, SPACE, Kernels

from chameleon_tuner.backends.tvm.backend import HANDLER
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Handler
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.contracts.handler import (
    CandidateHandlerContract,
    FinalHandlerContract,
    NeutralHandlerContract,
    TaskHandlerContract,
)


def of_toy(*indices: int) -> list[Configuration]:
    return [Configuration(0, (index,)) for index in indices]


class TestToy(
    TaskHandlerContract, CandidateHandlerContract, FinalHandlerContract, NeutralHandlerContract
):
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "lock").touch()
        monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
        monkeypatch.setenv("TOY_LOCK", str(tmp_path / "lock"))

    @pytest.fixture
    def entry(self) -> HandlerEntry[Kernels]:
        return KERNELS

    @pytest.fixture
    def task(self) -> Task:
        return Task("toy", "toy", "module", {}, SPACE)

    @pytest.fixture
    def legal(self) -> list[Configuration]:
        return of_toy(10, 21, 30)

    @pytest.fixture
    def refused(self) -> list[Configuration]:
        return of_toy(90, 99)

    @pytest.fixture
    def unbuildable(self) -> list[Configuration]:
        return of_toy(60, 65)

    @pytest.fixture
    def twins(self) -> list[Configuration]:
        return of_toy(30, 31)


class TestTVM(
    TaskHandlerContract, CandidateHandlerContract, FinalHandlerContract, NeutralHandlerContract
):
    @pytest.fixture
    def entry(self) -> HandlerEntry[Handler]:
        return HANDLER

    @pytest.fixture
    def task(self, dense_task: Task) -> Task:
        return dense_task

    @pytest.fixture
    def legal(self, dense_legal: list[Configuration]) -> list[Configuration]:
        return dense_legal

    @pytest.fixture
    def refused(self) -> list[Configuration]:
        return [Configuration(77, ()), Configuration(0, ())]

    @pytest.fixture
    def twins(self, dense_twins: list[Configuration]) -> list[Configuration]:
        return dense_twins
