from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

Compute = Callable[..., list[np.ndarray]]

X = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_squeeze_counts_axes_from_the_back(agree: Compute) -> None:
    agree("Squeeze", X.reshape(3, 20, 1), integers(-1))
    agree("Squeeze", X.reshape(1, 60, 1, 1))


def test_squeeze_behind_relu(agree_chain: Compute) -> None:
    nodes = [
        helper.make_node("Relu", ["x0"], ["a"]),
        helper.make_node("Squeeze", ["a", "x1"], ["y"]),
    ]
    (found,) = agree_chain(nodes, X.reshape(1, 60, 1) - 30, integers(-1))
    assert found.shape == (1, 60)


@pytest.mark.parametrize("opset", [7, 12, 17])
def test_dropout_does_nothing(opset: int, agree: Compute) -> None:
    agree("Dropout", X, opset=opset)
    if opset > 7:
        assert agree("Dropout", X, opset=opset, outputs=2)[1].dtype == bool


@pytest.mark.parametrize("wanted", [(0, -1), (5, 0, 3), (-1,), (3, 2, 2, 5)])
def test_reshape(wanted: tuple[int, ...], agree: Compute) -> None:
    agree("Reshape", X, integers(*wanted))


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ((1,), (3,), (1,), (1,)),
        ((-1,), (-100,), (2,), (-1,)),
        ((100, 0), (-100, 4), (0, 1), (-2, 2)),
        ((1,), (1000,), (-1,), (3,)),
        ((2,), (1,), (0,), (1,)),
    ],
)
def test_slice(
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...],
    steps: tuple[int, ...],
    agree: Compute,
) -> None:
    agree("Slice", X, *(integers(*given) for given in (starts, ends, axes, steps)))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad(mode: str, agree: Compute) -> None:
    agree("Pad", X, integers(1, 0, 2, 2, 1, 0), np.float32(7), opset=19, mode=mode)


def test_negative_padding_cuts(agree: Compute) -> None:
    agree("Pad", X, integers(-1, 0, 2, 0, -1, 0), np.float32(7))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str, agree: Compute, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, 8, 2, 3)).astype("float32")
    agree("DepthToSpace", x, blocksize=2, mode=mode)


@pytest.mark.parametrize(
    ("op", "second"),
    [("Expand", (2, 3, 4, 5)), ("Tile", (1, 2, 3)), ("Unsqueeze", (0, -1))],
)
def test_larger(op: str, second: tuple[int, ...], agree: Compute) -> None:
    agree(op, X, integers(*second))


def test_parts_of_different_sizes(agree: Compute) -> None:
    agree("Split", X, integers(1, 3), outputs=2, axis=1)
    agree("Split", X, outputs=2, opset=18, axis=2, num_outputs=2)


def test_booleans_and_integers_move_too(agree: Compute) -> None:
    agree("Transpose", X > 3, perm=[2, 0, 1])
    agree("Concat", X.astype(np.int64), X.astype(np.int64), axis=-1)


@pytest.mark.parametrize("upper", [0, 1])
def test_triangles(upper: int, agree: Compute) -> None:
    agree("Trilu", X, np.int64(-1), upper=upper)


@pytest.mark.parametrize("to", ["float16", "float64", "int8", "uint8", "int64", "bool"])
def test_casts(to: str, agree: Compute) -> None:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    options: dict[str, Any] = {"to": element}
    agree("Cast", np.array([0, 0.4, 1.6, 100, 3.5], np.float32), **options)
