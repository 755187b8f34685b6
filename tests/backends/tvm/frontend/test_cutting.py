"""The cut of a graph into what TVM compiles and parts for onnxruntime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, checker, helper, parser, shape_inference

from chameleon_tuner.backends.tvm.frontend.cutting import (
    EVERYTHING,
    PART,
    Cut,
    cut,
    identity,
    reads,
)

CONVERTIBLE = frozenset(
    {
        *("Add", "Concat", "Gemm", "Identity", "MatMul", "Mul", "NonZero", "Relu", "Reshape"),
        *("Shape", "Softmax", "Split", "Tanh", "Transpose", "SequenceAt", "SequenceConstruct"),
        *("If", "RandomNormal", "Gather"),
    }
)


def model(text: str) -> onnx.ModelProto:
    """Return a model in ONNX's text format, with inferred shapes."""
    header = '<ir_version: 9, opset_import: ["": 17, "com.example": 1]>'
    return shape_inference.infer_shapes(parser.parse_model(f"{header} {text}"))


def done(text: str, *outside: str) -> Cut:
    return cut(model(text), dict.fromkeys(outside, "the test says so"), CONVERTIBLE)


def operators(found: Cut) -> list[str]:
    return [node.op_type for node in found.model.graph.node]


def parts(found: Cut) -> list[tuple[str, ...]]:
    return [found.parts[part_of(n)].operators for n in found.model.graph.node if n.op_type == PART]


def part_of(node: onnx.NodeProto) -> str:
    [attribute] = node.attribute
    return str(attribute.s.decode())


# -- nothing, something, everything


def test_what_tvm_takes_is_left_as_it_is() -> None:
    text = "g (float[4,4] x) => (float[4,4] y) { a = Relu(x) y = MatMul(a, a) }"
    found = done(text)
    assert found.model == model(text)
    assert (found.parts, found.outside, found.inside) == ({}, {}, 2)


def test_a_refused_node_becomes_a_part() -> None:
    text = "g (float[4,4] x) => (float[4,4] y) { a = MatMul(x, x) b = Tanh(a) y = MatMul(b, x) }"
    found = done(text, "b")
    assert operators(found) == ["MatMul", PART, "MatMul"]
    [part] = found.parts.values()
    assert (part.inputs, part.operators, part.nodes) == (("a",), ("Tanh",), ("b",))
    [(name, type_)] = part.outputs
    assert (name, type_.dtype, type_.shape) == ("b", "float32", (4, 4))
    assert found.model.graph.node[1].input == ["a"]
    assert found.model.graph.node[1].output == ["b"]
    assert found.inside == 2
    assert found.outside == {"b": "the test says so"}


def test_everything_is_one_part() -> None:
    text = """g (float[4,4] x) => (float[4,4] y, float[4,4] z) {
        a = MatMul(x, x) b = Relu(a) y = MatMul(b, x) z = Tanh(b)
    }"""
    found = cut(model(text), {EVERYTHING: "it died"}, CONVERTIBLE)
    assert operators(found) == [PART]
    [part] = found.parts.values()
    assert part.operators == ("MatMul", "Relu", "MatMul", "Tanh")
    assert (part.inputs, [name for name, _ in part.outputs]) == (("x",), ["y", "z"])
    assert {found.outside[name] for name in part.nodes} == {"it died"}
    assert found.inside == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = com.example.Relu(x)", "operators of com.example are onnxruntime's"),
        ("y = RandomNormal<shape = [4, 4]>()", "random numbers are onnxruntime's"),
        ("y = Grizzly(x)", "TVM does not import Grizzly"),
        ("n = NonZero(x) y = Gather(x, n)", "the shape of a value depends on the data"),
        ("h = Cast<to = 16>(x) y = Identity(h)", "TVM does not compute in bfloat16"),
        ("s = Cast<to = 8>(x) y = Identity(s)", "the shape of a value depends on the data"),
    ],
)
def test_why_tvm_is_not_asked(body: str, reason: str) -> None:
    found = done(f"g (float[4,4] x) => (float y) {{ {body} }}")
    assert found.outside["y"] == reason
    assert operators(found) == [PART]


# -- few parts, in order


def test_independent_nodes_share_a_part() -> None:
    found = done(
        """g (float[4,4] x) => (float[4,4] y) {
            a = MatMul(x, x) b = Tanh(a) c = MatMul(x, a) d = Tanh(c) y = MatMul(b, d)
        }""",
        *("b", "d"),
    )
    assert operators(found) == ["MatMul", "MatMul", PART, "MatMul"]
    assert parts(found) == [("Tanh", "Tanh")]


def test_what_lies_between_two_parts_keeps_them_apart() -> None:
    """One part of both would wait for what waits for it."""
    found = done(
        "g (float[4,4] x) => (float[4,4] y) { a = Tanh(x) b = MatMul(a, x) y = Mul(a, b) }",
        *("a", "y"),
    )
    assert operators(found) == [PART, "MatMul", PART]
    assert parts(found) == [("Tanh",), ("Mul",)]


def test_a_node_that_is_needed_late_is_in_the_part_that_comes_first() -> None:
    """It is ready when that part runs: another crossing of the border would be one too many."""
    found = done(
        """g (float[4,4] x) => (float[4,4] y) {
            a = MatMul(x, x) b = Tanh(a) c = MatMul(b, x) d = Softmax(x) e = Tanh(c)
            f = Mul(d, e) y = MatMul(f, x)
        }""",
        *("b", "d", "e", "f"),
    )
    assert operators(found) == ["MatMul", PART, "MatMul", PART, "MatMul"]
    assert parts(found) == [("Tanh", "Softmax"), ("Tanh", "Mul")]


def test_light_work_at_a_part_is_absorbed() -> None:
    found = done(
        """g (float[4,4] x) => (float[4,4] y, float[4,4] z) {
            a = MatMul(x, x) b = Relu(a) c = Tanh(b) d = Mul(c, c) e = Add(d, c) y = Tanh(e)
            z = Relu(x)
        }""",
        *("c", "y"),
    )
    assert operators(found) == ["MatMul", "Relu", "Relu", PART]
    assert parts(found) == [("Tanh", "Mul", "Add", "Tanh")]


def test_light_work_that_touches_heavy_work_stays() -> None:
    found = done(
        """g (float[4,4] x) => (float[4,4] y) {
            a = Tanh(x) b = Relu(a) c = MatMul(b, b) d = Relu(c) y = Tanh(d)
        }""",
        *("a", "y"),
    )
    assert operators(found) == [PART, "Relu", "MatMul", "Relu", PART]


def _stages(nodes: Sequence[onnx.NodeProto], apart: Collection[str]) -> int:
    """Return the most parts on a path: fewer than that there cannot be."""
    most: dict[str, tuple[bool, int]] = {}
    for node in nodes:
        mine, best = identity(node) in apart, 0
        for name in node.input:
            before, count = most.get(name, (False, 0))
            best = max(best, count + (mine and not before))
        most[identity(node)] = mine, max(best, int(mine))
    return max((count for _, count in most.values()), default=0)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[onnx.NodeProto], list[str]]:
    """Nodes with one or two inputs, and the names of those that TVM refuses."""
    nodes: list[onnx.NodeProto] = []
    for number in range(draw(st.integers(1, 9))):
        names = ["x", *(node.output[0] for node in nodes)]
        several = st.lists(st.sampled_from(names), min_size=2, max_size=2)
        nodes.append(helper.make_node("MatMul", draw(several), [f"v{number}"]))
    outside = draw(st.sets(st.sampled_from([node.output[0] for node in nodes])))
    return nodes, sorted(outside)


@settings(deadline=None)
@given(graphs())
def test_any_graph_can_be_run_in_order_with_as_few_parts_as_possible(
    drawn: tuple[list[onnx.NodeProto], list[str]],
) -> None:
    nodes, outside = drawn
    read = {name for node in nodes for name in node.input}
    ends = [node.output[0] for node in nodes if node.output[0] not in read]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in ("x", *ends)]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    made = shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    )
    found = cut(made, dict.fromkeys(outside, "drawn"), CONVERTIBLE)
    known, seen = {"x"}, []
    for node in found.model.graph.node:
        assert set(reads(node)) <= known
        known.update(node.output)
        inside = node.op_type != PART
        mine = [identity(node)] if inside else list(found.parts[part_of(node)].nodes)
        assert all((name in outside) is not inside for name in mine)
        seen += mine
    assert sorted(seen) == sorted(identity(node) for node in nodes)
    assert set(ends) <= known
    assert len(found.parts) == _stages(nodes, outside)


# -- what goes along


def test_weights_go_where_they_are_read() -> None:
    found = done(
        """g (float[2,2] x) => (float[2,2] y)
        <float[2,2] both = {1,2,3,4}, float[2,2] mine = {5,6,7,8}, float[2,2] theirs = {9,8,7,6}> {
            a = MatMul(x, both) b = MatMul(a, mine) c = Mul(b, both) d = Mul(c, theirs)
            e = Tanh(d) y = MatMul(e, e)
        }""",
        *("c", "d", "e"),
    )
    [part] = found.parts.values()
    assert sorted(tensor.name for tensor in found.model.graph.initializer) == ["both", "mine"]
    assert sorted(tensor.name for tensor in part.model.graph.initializer) == ["both", "theirs"]
    assert part.inputs == ("b",)
    checker.check_model(part.model)


def test_outputs_are_what_others_read_and_what_the_model_returns() -> None:
    found = done(
        """g (float[2,2] x) => (float[2,2] y, float[2,2] b) {
            a = Tanh(x) b = Tanh(a) c = Tanh(b) y = MatMul(c, x)
        }""",
        *("a", "b", "c"),
    )
    [part] = found.parts.values()
    assert [name for name, _ in part.outputs] == ["b", "c"]


def test_inputs_and_outputs_that_are_left_out() -> None:
    found = done(
        """g (float[1,2] x) => (float[1,2] y) <int64[2] sizes = {1, 1}> {
            a, b = Split<axis = 1>(x, sizes)
            c = Clip(a, , )
            d = Concat<axis = 1>(c, b)
            y = MatMul(d, )
        }""",
        "a",
    )
    [part] = found.parts.values()
    assert part.inputs == ("x",)
    assert {"a", "c"} <= set(part.nodes)


BRANCHES = """g (float[2,2] x, bool c) => (float[2,2] y) <float[2,2] w = {1,2,3,4}> {
    a = MatMul(x, x)
    b = If(c) <
        then_branch = t () => (float[2,2] m) { m = Mul(a, w) },
        else_branch = e () => (float[2,2] n) { k = Relu(a) n = Add(k, x) }
    >
    y = MatMul(b, w)
}"""


def test_a_branch_takes_along_what_it_reads_from_around_it() -> None:
    found = done(BRANCHES)
    assert operators(found) == ["MatMul", PART, "MatMul"]
    [part] = found.parts.values()
    assert sorted(part.inputs) == ["a", "c", "x"]
    assert [tensor.name for tensor in part.model.graph.initializer] == ["w"]
    assert found.outside == {"b": "branches and loops run in onnxruntime"}
    whole = model(BRANCHES)
    x = np.array([[1, -2], [3, -4]], np.float32)
    for chosen in (True, False):
        [wanted] = run(whole, {"x": x, "c": np.array(chosen)}, ["b"])
        [got] = run(part.model, {"x": x, "c": np.array(chosen), "a": x @ x}, ["b"])
        np.testing.assert_array_equal(got, wanted)


def run(whole: onnx.ModelProto, inputs: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Return values of a model as onnxruntime computes them."""
    shown = onnx.ModelProto()
    shown.CopyFrom(whole)
    held = {value.name: value for value in (*whole.graph.output, *whole.graph.value_info)}
    del shown.graph.output[:]
    shown.graph.output.extend(held[name] for name in names)
    return list(onnxruntime.InferenceSession(shown.SerializeToString()).run(None, dict(inputs)))


def test_only_tensors_leave_a_part() -> None:
    found = done(
        """g (float[2,2] x) => (float[2,2] y) <int64 zero = {0}, int64 one = {1}> {
            a = MatMul(x, x)
            s = SequenceConstruct(a, x)
            b = SequenceAt(s, zero)
            c = MatMul(b, b)
            d = SequenceAt(s, one)
            e = Mul(c, d)
            y = MatMul(e, e)
        }"""
    )
    assert operators(found) == ["MatMul", PART, "MatMul", "Mul", "MatMul"]
    [part] = found.parts.values()
    assert [(name, type_.shape) for name, type_ in part.outputs] == [("b", (2, 2)), ("d", (2, 2))]


def test_what_lies_between_the_ends_of_a_sequence_joins_its_part() -> None:
    found = done(
        """g (float[2,2] x) => (float[2,2] y) <int64 zero = {0}> {
            a = MatMul(x, x)
            s = SequenceConstruct(a, x)
            b = SequenceAt(s, zero)
            c = MatMul(b, b)
            t = SequenceInsert(s, c)
            d = SequenceAt(t, zero)
            y = MatMul(d, d)
        }"""
    )
    assert operators(found) == ["MatMul", PART, "MatMul"]
    [part] = found.parts.values()
    assert part.inputs == ("a", "x")
    assert [(name, type_.dtype) for name, type_ in part.outputs] == [("d", "float32")]
    assert part.nodes == ("s", "b", "c", "t", "d")


# -- names


def test_a_part_has_the_name_of_its_content() -> None:
    text = "g (float[2,2] x) => (float[2,2] y) { a = MatMul(x, x) b = Tanh(a) y = MatMul(b, x) }"
    [first], [second] = done(text, "b").parts, done(text, "b").parts
    assert first == second
    [third] = done(text.replace("Tanh", "Sigmoid"), "b").parts
    assert third != first


def test_parts_declare_the_operator_sets_that_they_use() -> None:
    found = done(
        """g (float[2,2] x) => (float[2,2] y) {
            a = Tanh(x) b = MatMul(a, a) y = com.example.Relu(b)
        }""",
        "a",
    )
    first, second = (found.parts[part_of(n)] for n in found.model.graph.node if n.op_type == PART)
    assert [o.domain for o in first.model.opset_import] == [""]
    assert sorted(o.domain for o in second.model.opset_import) == ["", "com.example"]
