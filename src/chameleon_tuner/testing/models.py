"""Small ONNX models: one to tune in seconds, and what a user may hand in by mistake."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from chameleon_tuner.zoo.graph import IR_VERSION, LINEAR_GAIN, OPSET, Graph

TINY_SHAPE = (1, 3, 64, 64)
"""Of the input of `tiny_network`."""


def tiny_network(seed: int = 0) -> onnx.ModelProto:
    """A residual network of three convolutions: 1.5 million multiply-adds.

    Args:
        seed: of the weights.

    Returns:
        A model from "input", float32 (1, 3, 64, 64), to "output", float32 (1, 10).
    """
    graph = Graph("tiny", seed)
    x = graph.input("input", TINY_SHAPE)
    x = graph.relu(graph.conv(x, 16, kernel=3, stride=2, padding=1))
    shortcut = graph.max_pool(x, kernel=3, stride=2, padding=1)
    y = graph.relu(graph.conv(shortcut, 16, kernel=3, padding=1))
    y = graph.add(graph.conv(y, 16, kernel=3, padding=1, gain=LINEAR_GAIN), shortcut)
    x = graph.flatten(graph.global_average_pool(graph.relu(y)))
    return graph.model(graph.gemm(x, 10, gain=LINEAR_GAIN))


def open_batch(seed: int = 0) -> onnx.ModelProto:
    """`tiny_network` with a batch dimension "batch" that has no fixed size."""
    model = tiny_network(seed)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def unknown_operator(name: str = "Grizzly") -> onnx.ModelProto:
    """A model with an operator that does not exist."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in ("x", "y")]
    node = helper.make_node(name, ["x"], ["y"])
    graph = helper.make_graph([node], "unknown", values[:1], values[1:])
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
