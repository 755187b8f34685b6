from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from chameleon_tuner.backends.tvm.frontend.deciding import deciding_inputs, small, specialised


def model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
    ]
    outputs = [onnx.ValueInfoProto(name=nodes[-1].output[0])]
    return helper.make_model(helper.make_graph(list(nodes), "test", inputs, outputs))


def test_what_shapes_are_computed_from_decides() -> None:
    nodes = [
        helper.make_node("Add", ["k", "k"], ["twice"]),
        helper.make_node("Reshape", ["x", "twice"], ["y"]),
    ]
    assert deciding_inputs(model(*nodes)) == ["k"]


def test_shapes_are_known_without_the_value() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["k", "shape"], ["y"]),
    ]
    assert deciding_inputs(model(*nodes)) == []


def test_what_a_loop_needs_decides_around_it() -> None:
    state, row = (helper.make_tensor_value_info(n, TensorProto.INT64, [1]) for n in ("s", "r"))
    body = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "s"], ["shaped"]),
            helper.make_node("Add", ["s", "r"], ["next"]),
        ],
        "body",
        [state, row],
        [onnx.ValueInfoProto(name="next")],
    )
    scan = helper.make_node("Scan", ["k", "rows"], ["y"], body=body, num_scan_inputs=1)
    rows = helper.make_node("Cast", ["x"], ["rows"], to=TensorProto.INT64)
    assert deciding_inputs(model(rows, scan)) == ["k"]


def test_specialised_inputs_are_constants() -> None:
    given = model(helper.make_node("Reshape", ["x", "k"], ["y"]))
    values = {"x": np.zeros(4, np.float32), "k": np.array([4])}
    made = specialised(given, values, ["k"])
    assert [value.name for value in made.graph.input] == ["x"]
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 4
    assert [tensor.name for tensor in made.graph.initializer] == ["k"]
    assert [value.name for value in given.graph.input] == ["x", "k"]


def test_large_values_decide_nothing() -> None:
    assert small(np.zeros(8))
    assert not small(np.zeros(100_000))
