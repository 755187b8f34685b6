from __future__ import annotations

from pathlib import Path

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import numpy as np
import tvm
from tvm import te, topi
from tvm.target import Target

from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.space.task import Task

TARGET = {"kind": "llvm", "num-cores": 2}


@pytest.fixture(scope="session")
def dense_task() -> Task:
    """A dense layer that compiles in 0.1 s."""
    data = te.placeholder((16, 32), name="data")
    weight = te.placeholder((48, 32), name="weight")
    function = te.create_prim_func([data, weight, topi.nn.dense(data, weight)])
    function = function.with_attrs({"global_symbol": "main", "layout_free_buffers": [1]})
    module = tvm.IRModule({"main": function})
    space = TracedSpace(module, Target(TARGET)).design
    return Task("dense", "dense", str(tvm.ir.save_json(module)), TARGET, space)


@pytest.fixture
def dense_legal(dense_task: Task) -> list[Configuration]:
    """Three of the dense layer's configurations that compile in 0.07 s."""
    rows = dense_task.space.sample(7, np.random.default_rng(0))
    return dense_task.space.configurations(rows[[0, 5, 6]])


@pytest.fixture
def dense_twins() -> list[Configuration]:
    """Two of the dense layer's configurations with other factors and the same loops."""
    return [Configuration(2, (21, 10, 4, 0)), Configuration(2, (27, 45, 4, 0))]


@pytest.fixture
def lock(tmp_path: Path) -> MachineLock:
    """Nobody else's: other runs on this machine do not delay the tests."""
    return MachineLock(tmp_path / "lock")
