from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from chameleon_tuner.backends.tvm.frontend.functions import expanded, inlined

FLOATS = TensorProto.FLOAT


def model(
    op: str, inputs: Sequence[tuple[str, int, Sequence[int]]], opset: int, **attributes: Any
) -> onnx.ModelProto:
    node = helper.make_node(op, [name for name, _, _ in inputs], ["y"], **attributes)
    given = [helper.make_tensor_value_info(*value) for value in inputs if value[0]]
    graph = helper.make_graph([node], "test", given, [onnx.ValueInfoProto(name="y")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return onnx.shape_inference.infer_shapes(made)


def operators(made: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in made.graph.node}


ATTENTION = [(name, FLOATS, (1, 2, 4, 8)) for name in "qkv"]
MASKED = [*ATTENTION, ("", FLOATS, ()), ("past_k", FLOATS, (1, 2, 3, 8))]
MASKED += [("past_v", FLOATS, (1, 2, 3, 8))]
LOSS = [("scores", FLOATS, (3, 5)), ("labels", TensorProto.INT64, (3,))]


@pytest.mark.parametrize(
    ("op", "inputs", "opset"),
    [
        ("Attention", ATTENTION, 23),
        ("Attention", MASKED, 23),
        ("SoftmaxCrossEntropyLoss", LOSS, 13),
        ("Selu", [("x", FLOATS, (3,))], 18),
    ],
)
def test_bodies_compute_the_same(
    op: str, inputs: Sequence[tuple[str, int, Sequence[int]]], opset: int
) -> None:
    """Bodies that depend on types, call other functions, and refer to defaults."""
    given = model(op, inputs, opset)
    bodies = inlined(given, kept=())
    assert op not in operators(bodies)
    assert not bodies.functions
    rng = np.random.default_rng(0)
    values = {
        name: rng.standard_normal(shape).astype("float32")
        if element == FLOATS
        else np.full(shape, 3)
        for name, element, shape in inputs
        if name
    }
    found, wanted = (ReferenceEvaluator(m).run(None, values)[0] for m in (bodies, given))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_some_operators_are_kept() -> None:
    given = model("SoftmaxCrossEntropyLoss", LOSS, 13)
    kept = operators(inlined(given, kept=("LogSoftmax", "NegativeLogLikelihoodLoss")))
    assert {"LogSoftmax", "NegativeLogLikelihoodLoss"} <= kept


def test_the_model_itself_is_not_changed() -> None:
    given = model("Attention", ATTENTION, 23)
    before = given.SerializeToString()
    inlined(given, kept=())
    assert given.SerializeToString() == before


def test_what_needs_no_expansion_is_not_even_copied() -> None:
    given = model("Sqrt", [("x", FLOATS, (3,))], 18)
    assert expanded(given, kept=()) is given
    selu = model("Selu", [("x", FLOATS, (3,))], 18)
    assert expanded(selu, kept=("Selu",)) is selu
    assert "Selu" not in operators(expanded(selu, kept=()))
