from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner, _normalize_tensor

from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.onnx_backend import ChameleonBackend, ChameleonBackendRep

FAILING = json.loads((Path(__file__).parent / "failing_node_tests.json").read_text())
"""ONNX's tests that fail without onnxruntime, by reason, from `benchmarks/node_tests.py`."""

EVERY = 40
"""One of this number of tests is run here."""


def model(shape: list[int | str], *nodes: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("wanted", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def reshaping() -> ChameleonBackendRep:
    """A model of open size, and with an input that decides on the shape of the output."""
    nodes = helper.make_node("Reshape", ["x", "wanted"], ["y"])
    return ChameleonBackend.prepare(model(["n"], nodes), fallback=False)


def test_shapes_and_deciding_values_may_change(reshaping: ChameleonBackendRep) -> None:
    for extents in ((2, 3), (3, 2), (4, 5)):
        x = np.arange(np.prod(extents), dtype=np.float32)
        (found,) = reshaping.run([x, np.array(extents)])
        np.testing.assert_array_equal(found, x.reshape(extents))


def test_inputs_by_name(reshaping: ChameleonBackendRep) -> None:
    x = np.arange(6, dtype=np.float32)
    (found,) = reshaping.run({"wanted": np.array([2, -1]), "x": x})
    assert found.shape == (2, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([np.zeros(6, np.float32)], "has 2 inputs, not 1"),
        ({"x": np.zeros(6, np.float32)}, "'wanted' is missing"),
        ([np.zeros(6, np.float32), None], "'wanted' is no tensor"),
        ([np.array(["a"]), np.array([1, 1])], "'x' holds strings"),
        ([np.zeros(6, np.float32), np.array([4, 4])], "do not have the shape"),
    ],
)
def test_bad_inputs(reshaping: ChameleonBackendRep, inputs: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        reshaping.run(inputs)


def test_unknown_operators_and_devices() -> None:
    node = helper.make_node("NoSuch", ["x"], ["y"], domain="of.mine")
    unknown = model([2], node)
    unknown.opset_import.append(helper.make_opsetid("of.mine", 1))
    with pytest.raises(ModelError, match=r"NoSuch of the domain of\.mine"):
        ChameleonBackend.run_model(unknown, [np.zeros(2, np.float32), np.zeros(2, np.int64)])
    assert not ChameleonBackend.supports_device("CUDA:1")
    with pytest.raises(ModelError, match="no device 'CUDA'"):
        ChameleonBackend.prepare(unknown, "CUDA")


def test_what_tvm_does_not_compile_runs_in_onnxruntime() -> None:
    """Also with inputs for which it was found out before."""
    unknown = model([2, 2], helper.make_node("Det", ["x"], ["y"]))
    x = np.array([[1, 2], [3, 4]], np.float32)
    with pytest.raises(ModelError):
        ChameleonBackend.prepare(unknown, fallback=False).run([x, np.zeros(2, np.int64)])
    prepared = ChameleonBackend.prepare(unknown)
    for factor in (1, 2):
        [found] = prepared.run([factor * x, np.zeros(2, np.int64)])
        np.testing.assert_allclose(found, -2 * factor**2, rtol=1e-6)


def test_functions_of_the_model_and_of_the_standard() -> None:
    """A model's own function that calls an operator which ONNX defines by a function."""
    body = helper.make_function(
        "of.mine",
        "Twice",
        ["a"],
        ["b"],
        [
            helper.make_node("Swish", ["a"], ["once"], alpha=2.0),
            helper.make_node("Add", ["once", "once"], ["b"]),
        ],
        [helper.make_opsetid("", 24)],
    )
    made = model([3], helper.make_node("Twice", ["x"], ["y"], domain="of.mine"))
    made.functions.append(body)
    del made.opset_import[:]
    made.opset_import.extend([helper.make_opsetid("", 24), helper.make_opsetid("of.mine", 1)])
    x = np.array([-1, 0, 2], np.float32)
    (found,) = ChameleonBackend.run_model(made, [x, np.zeros(2, np.int64)], fallback=False)
    np.testing.assert_allclose(found, 2 * x / (1 + np.exp(-2 * x)), rtol=1e-6)


def test_a_single_node() -> None:
    node = helper.make_node("Concat", ["a", "b"], ["c"], axis=0)
    found = ChameleonBackend.run_node(node, [np.array([1, 2]), np.array([3])])
    np.testing.assert_array_equal(found[0], [1, 2, 3])


def test_a_sample_of_the_tests_of_onnx() -> None:
    """Those pass that are not listed as failing, and the others fail with an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tests overflow on purpose
        tests = sorted(load_model_tests(kind="node"), key=lambda test: str(test.name))
    listed = {name for names in FAILING.values() for name in names}
    failed = {test.name for test in tests[::EVERY] if not passes(test)}
    assert failed == {test.name for test in tests[::EVERY]} & listed


def passes(test: Any) -> bool:
    try:
        for inputs, wanted in test.data_sets:
            prepared = ChameleonBackend.prepare(test.model, fallback=False)
            found = prepared.run([_normalize_tensor(value) for value in inputs])
            expected = [_normalize_tensor(value) for value in wanted]
            Runner.assert_similar_outputs(expected, found, test.rtol, test.atol)
    except (ModelError, AssertionError):
        return False
    return True
