"""Inputs to try models on: what the graph tells of integers, and values that it runs on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser, shape_inference

from chameleon_tuner.backends.tvm.frontend.reading import border
from chameleon_tuner.backends.tvm.frontend.tensors import Range, TensorSpec, trial_inputs
from chameleon_tuner.backends.tvm.frontend.trial import ranges_of

TABLE = np.ones((7, 4), np.float32)


def model(text: str, **weights: Any) -> onnx.ModelProto:
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    return shape_inference.infer_shapes(made)


INDEXED = {
    "rows of a table": (
        "g (int64[2,3] i) => (float[2,3,4] y) { y = Gather(table, i) }",
        Range(0, 6),
    ),
    "columns of a table": (
        "g (int64[3] i) => (float[7,3] y) { y = Gather<axis = 1>(table, i) }",
        Range(0, 3),
    ),
    "columns from behind": (
        "g (int64[3] i) => (float[7,3] y) { y = Gather<axis = -1>(table, i) }",
        Range(0, 3),
    ),
    "elements": (
        "g (int64[2,4] i) => (float[2,4] y) { y = GatherElements(table, i) }",
        Range(0, 6),
    ),
    "places in all axes": (
        "g (int64[5,2] i) => (float[5] y) { y = GatherND(table, i) }",
        Range(0, 3),
    ),
    "scattered": (
        "g (int64[2,4] i, float[2,4] u) => (float[7,4] y) { y = ScatterElements(table, i, u) }",
        Range(0, 6),
    ),
    "on its way through other operators": (
        """g (int32[2,3] i) => (float[6,4] y) <int64[1] flat = {6}> {
            a = Cast<to = 7>(i) b = Reshape(a, flat) y = Gather(table, b)
        }""",
        Range(0, 6),
    ),
    "with an offset, as positions of text models have": (
        """g (int64[3] i) => (float[3,4] y) <int64 two = {2}> {
            a = Add(i, two) y = Gather(table, a)
        }""",
        Range(-2, 4),
    ),
    "in two tables": (
        """g (int64[3] i) => (float[3,4] y) {
            a = Gather(table, i) b = Gather(small, i) y = Add(a, b)
        }""",
        Range(0, 2),
    ),
    "a divisor": ("g (int64[3] i) => (int64[3] y) { y = Div(i, i) }", Range(1, 2**15)),
    "a remainder": (
        "g (int64[3] i, int64[3] j) => (int64[3] y) { y = Mod(j, i) }",
        Range(1, 2**15),
    ),
}


@pytest.mark.parametrize("name", INDEXED)
def test_indices_lie_in_their_tables_and_divisors_are_not_zero(name: str) -> None:
    text, wanted = INDEXED[name]
    made = model(text, table=TABLE, small=TABLE[:3])
    ranges = ranges_of(made)
    assert ranges["i"] == wanted
    inputs = trial_inputs(border(list(made.graph.input)), ranges, 0)
    session = onnxruntime.InferenceSession(made.SerializeToString())
    assert all(np.isfinite(output).all() for output in session.run(None, inputs))


def test_of_other_inputs_nothing_is_told() -> None:
    made = model(
        """g (int64[4] mask, float[4] x, bool[4] b) => (float[4] y) {
            a = Cast<to = 1>(mask) c = Cast<to = 1>(b) d = Mul(a, x) y = Add(d, c)
        }"""
    )
    assert ranges_of(made) == {}
    inputs = trial_inputs(border(list(made.graph.input)), {}, 0)
    assert inputs["mask"].tolist() == [1] * 4
    assert inputs["b"].tolist() == [True] * 4
    assert inputs["x"].std() > 0


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint64"])
def test_a_range_that_a_dtype_does_not_hold_is_cut_off(dtype: str) -> None:
    """A divisor of 256 would be zero as uint8."""
    spec, limits = TensorSpec("i", (4096,), dtype), np.iinfo(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        divisor = trial_inputs([spec], {"i": Range(1, 2**15)}, 0)["i"]
        index = trial_inputs([spec], {"i": Range(-2, 4)}, 0)["i"]
    assert divisor.dtype == index.dtype == np.dtype(dtype)
    assert divisor.min() >= 1
    assert divisor.max() <= min(limits.max, 2**15)
    assert index.min() == max(limits.min, -2)
    assert index.max() == 4


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "bool", "int8", "uint64"]
)
def test_inputs_have_the_shape_and_dtype_of_the_model(dtype: str) -> None:
    specs = [TensorSpec("x", (2, 3), dtype), TensorSpec("scalar", (), dtype)]
    inputs = trial_inputs(specs, {}, 7)
    assert [(name, array.shape) for name, array in inputs.items()] == [
        ("x", (2, 3)),
        ("scalar", ()),
    ]
    assert {str(array.dtype) for array in inputs.values()} == {dtype}


def test_inputs_are_those_of_the_seed() -> None:
    specs = [TensorSpec("x", (5,), "float32"), TensorSpec("i", (50,), "int64")]
    first, second, third = (trial_inputs(specs, {"i": Range(0, 9)}, seed) for seed in (1, 1, 2))
    for name in ("x", "i"):
        np.testing.assert_array_equal(first[name], second[name])
        assert (first[name] != third[name]).any()
    assert (first["i"].min(), first["i"].max()) == (0, 9)
