"""Operators that TVM computes wrongly are found, and run in onnxruntime; `wrong_tanh` is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import chameleon_tuner
from chameleon_tuner.app import deploy
from chameleon_tuner.app.rehearsing import rehearse
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.frontend import onnx as frontend
from chameleon_tuner.backends.tvm.frontend.reading import read_onnx
from chameleon_tuner.backends.tvm.mending import Mending
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Handler

ENTRY = HandlerEntry[Handler]("wrong_tanh", "Handler")


def saved(folder: Path, *operators: str) -> Path:
    """Write a model of operators between matrix products; the first's output is `v0`, ..."""
    body, last = "", "x"
    for number, operator in enumerate(operators):
        body += f"m{number} = MatMul({last}, x) v{number} = {operator}(m{number}) "
        last = f"v{number}"
    text = f"g (float[8,8] x) => (float[8,8] y) {{ {body} y = MatMul({last}, x) }}"
    path = folder / "net.onnx"
    onnx.save(parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}'), path)
    return path


@pytest.fixture(autouse=True)
def _workers_find_the_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_wrong_operators_are_found_and_those_that_end_the_process(tmp_path: Path) -> None:
    path = saved(tmp_path, "Tanh", "Relu", "Tanh", "Atan", "Tanh", "Sigmoid")
    x = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    mending = Mending(read_onnx(path), {}, {"v4": "it is outside already"}, {"x": x})
    with WorkerPool[object](ENTRY, 1, {}) as pool:
        rehearse(mending, pool)
    assert set(mending.wrong) == {"v0", "v2", "v3"}
    assert mending.wrong["v0"].startswith("TVM computes another Tanh (differs by ")
    assert mending.wrong["v2"] == mending.wrong["v0"]
    assert mending.wrong["v3"].startswith("TVM's code ends its process: SIGABRT")


def test_a_model_with_a_wrong_operator_is_tuned_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        frontend, "CONVERTERS", {**frontend.CONVERTERS, "Tanh": frontend.CONVERTERS["Sigmoid"]}
    )
    monkeypatch.setattr(deploy, "_faster", lambda comparison: True)
    path, folder = saved(tmp_path, "Tanh", "Relu"), tmp_path / "out"
    result = chameleon_tuner.tune(path, folder, trials=4, backend=TVMBackend(ENTRY))
    assert (result.deployed, result.reason, result.verified) == ("tuned", "", True)
    [part] = result.parts
    assert list(part.operators) == ["Tanh"]
    [reason] = part.reasons
    assert reason.startswith("TVM computes another Tanh")
    library = Library(folder)
    inputs = library.random_inputs(0)
    wanted = onnxruntime.InferenceSession(str(path)).run(None, inputs)
    assert difference(list(library(inputs).values()), wanted) <= 1e-5
