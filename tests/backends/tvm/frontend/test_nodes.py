"""Nodes that differ in nothing but names and weights are one kind, and tried once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper, parser, shape_inference

from chameleon_tuner.backends.tvm.frontend.nodes import Kind, kinds_of
from chameleon_tuner.backends.tvm.frontend.preparation import simplified


def kinds(text: str, *outside: str, **weights: Any) -> list[Kind]:
    """Return the kinds of a model in ONNX's text format."""
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    return kinds_of(shape_inference.infer_shapes(made), outside)


def names(found: list[Kind]) -> list[tuple[str, tuple[str, ...]]]:
    return [(kind.operator, kind.names) for kind in found]


def test_equal_nodes_are_one_kind() -> None:
    found = kinds(
        """g (float[2,3] x) => (float[2,3] y) {
            a = Relu(x) b = Tanh(a) c = Relu(b) y = Add(c, c)
        }"""
    )
    assert names(found) == [("Relu", ("a", "c")), ("Tanh", ("b",)), ("Add", ("y",))]


def test_a_kind_is_a_model_of_its_first_node() -> None:
    [conv] = kinds(
        "g (float[1,2,4,4] x) => (float[1,3,2,2] y) { y = Conv<kernel_shape = [3, 3]>(x, w) }",
        w=np.ones((3, 2, 3, 3), np.float32),
    )
    checker.check_model(conv.model, full_check=True)
    [node] = conv.model.graph.node
    assert (node.op_type, list(node.input), list(node.output)) == ("Conv", ["x", "w"], ["y"])
    assert [value.name for value in conv.model.graph.input] == ["x"]
    assert [value.name for value in conv.model.graph.output] == ["y"]
    [weights] = conv.model.graph.initializer
    assert numpy_helper.to_array(weights).sum() == 54
    dims = conv.model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 3, 2, 2]


def test_shapes_dtypes_and_attributes_make_kinds() -> None:
    found = kinds(
        """g (float[2,3] x, float[3,2] z, double[2,3] d) => (float[2,3] y) {
            a = Softmax<axis = 0>(x) b = Softmax<axis = 1>(x) c = Softmax<axis = 0>(z)
            e = Softmax<axis = 0>(d) y = Softmax<axis = 0>(a)
        }"""
    )
    assert names(found) == [
        ("Softmax", ("a", "y")),
        *(("Softmax", (name,)) for name in ("b", "c", "e")),
    ]


def test_which_inputs_are_the_same_makes_kinds() -> None:
    found = kinds(
        "g (float[2] x, float[2] z) => (float[2] y) { a = Add(x, x) b = Add(x, z) y = Add(z, z) }"
    )
    assert names(found) == [("Add", ("a", "y")), ("Add", ("b",))]


def test_of_large_weights_only_the_shape_counts_and_small_constants_are_part_of_the_kind() -> None:
    text = """g (float[8,16] x) => (float[8,16] y) {
        a = MatMul(x, first) b = MatMul(a, second) c = Clip(b, low, high) y = Clip(c, low, six)
    }"""
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 16, 16), np.float32)
    small = {name: np.float32(value) for name, value in (("low", 0), ("high", 1), ("six", 6))}
    found = kinds(text, first=first, second=second, **small)
    assert names(found) == [("MatMul", ("a", "b")), ("Clip", ("c",)), ("Clip", ("y",))]
    held = {tensor.name: tensor for tensor in found[0].model.graph.initializer}
    np.testing.assert_array_equal(numpy_helper.to_array(held["first"]), first)


def test_weights_in_a_file_of_their_own_are_weights(tmp_path: Path) -> None:
    """That is where the prepared model has its large ones."""
    first, second = np.random.default_rng(0).random((2, 16, 32, 32), np.float32)
    text = "g (float[16,32,32] x) => (float[16,32,32] y) { a = MatMul(x, p) y = MatMul(a, q) }"
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in (("p", first), ("q", second))
    )
    onnx.save(made, tmp_path / "model.onnx")
    ready = simplified(made, tmp_path, tmp_path)
    assert not any(tensor.HasField("raw_data") for tensor in ready.graph.initializer)
    [kind] = kinds_of(ready, [], tmp_path)
    assert kind.names == ("a", "y")
    [weights] = kind.model.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weights), first)


def test_what_is_left_out_or_not_of_known_shape_is_no_kind() -> None:
    text = """g (float[2,3] x) => (float[2,3] y) {
        a = Relu(x) n = NonZero(a) m = Transpose(n) s = SequenceConstruct(a) h = Cast<to = 16>(a)
        y = Tanh(x)
    }"""
    assert names(kinds(text, "y")) == [("Relu", ("a",))]


def test_names_that_are_left_out_stay_left_out() -> None:
    node = helper.make_node("Dropout", ["x"], ["y", ""])
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [4]) for n in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    [kind] = kinds_of(made, [])
    assert kind.names == ("y",)
    assert [value.name for value in kind.model.graph.output] == ["y"]


def test_nodes_have_the_operator_sets_of_their_model() -> None:
    [kind] = kinds("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert [(o.domain, o.version) for o in kind.model.opset_import] == [("", 17)]
    assert kind.model.ir_version == 9
