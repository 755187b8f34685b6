from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from chameleon_tuner.onnx_backend import ChameleonBackend

Arrays = Sequence[np.ndarray]
Compute = Callable[..., list[np.ndarray]]
Agree = Callable[..., list[np.ndarray]]


def chain(nodes: Sequence[onnx.NodeProto], inputs: Arrays, opset: int) -> onnx.ModelProto:
    """A model of nodes that read x0, x1, ... and what no node reads are the outputs."""
    given = [
        helper.make_tensor_value_info(
            f"x{n}", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for n, array in enumerate(inputs)
    ]
    read = {name for node in nodes for name in node.input}
    ends = [name for node in nodes for name in node.output if name and name not in read]
    outputs = [onnx.ValueInfoProto(name=name) for name in ends]
    graph = helper.make_graph(list(nodes), "test", given, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    inferred = onnx.shape_inference.infer_shapes(model)
    for value in inferred.graph.output:
        value.type.tensor_type.ClearField("shape")
    return inferred


def one_node(
    op: str, inputs: Arrays, outputs: int, opset: int, attributes: dict[str, Any]
) -> onnx.ModelProto:
    names = [f"x{n}" for n in range(len(inputs))]
    node = helper.make_node(op, names, [f"y{n}" for n in range(outputs)], **attributes)
    return chain([node], inputs, opset)


def computed(model: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    return list(ChameleonBackend.prepare(model, fallback=False).run(list(inputs)))


def by_onnxruntime(model: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_inputs()]
    named = {name: np.asarray(array) for name, array in zip(names, inputs, strict=True)}
    return session.run(None, named)


def assert_same(found: Arrays, wanted: Arrays, tolerance: float) -> None:
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.fixture
def compute() -> Compute:
    """Compute one node, without onnxruntime."""

    def run(
        op: str, *inputs: np.ndarray, outputs: int = 1, opset: int = 17, **attributes: Any
    ) -> list[np.ndarray]:
        return computed(one_node(op, inputs, outputs, opset, attributes), inputs)

    return run


@pytest.fixture
def agree() -> Agree:
    """Compute one node, and compare with onnxruntime."""

    def run(
        op: str,
        *inputs: np.ndarray,
        outputs: int = 1,
        opset: int = 17,
        tolerance: float = 1e-5,
        **attributes: Any,
    ) -> list[np.ndarray]:
        model = one_node(op, inputs, outputs, opset, attributes)
        found = computed(model, inputs)
        assert_same(found, by_onnxruntime(model, inputs), tolerance)
        return found

    return run


@pytest.fixture
def agree_chain() -> Agree:
    """Compute several nodes, and compare with onnxruntime."""

    def run(
        nodes: Sequence[onnx.NodeProto],
        *inputs: np.ndarray,
        opset: int = 17,
        tolerance: float = 1e-5,
    ) -> list[np.ndarray]:
        model = chain(nodes, inputs, opset)
        found = computed(model, inputs)
        assert_same(found, by_onnxruntime(model, inputs), tolerance)
        return found

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
