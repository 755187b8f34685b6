from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Compute = Callable[..., list[np.ndarray]]

REDUCTIONS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
]


@pytest.mark.parametrize("op", REDUCTIONS)
def test_axes_are_an_input(op: str, agree: Compute, rng: np.random.Generator) -> None:
    x = rng.random((3, 4, 5)).astype("float32") + 0.1
    agree(op, x, np.array([-1, 0]), opset=18, keepdims=0)
    agree(op, x, opset=18)


def test_axes_are_an_attribute(agree: Compute, rng: np.random.Generator) -> None:
    agree("ReduceMean", rng.random((3, 4, 5)).astype("float32"), opset=13, axes=[1])


def test_no_axes_and_no_operation(agree: Compute) -> None:
    x = np.array([[1, -2]], np.float32)
    agree("ReduceSum", x, opset=18, noop_with_empty_axes=1)


def test_extremes_of_nan_and_infinity(compute: Compute) -> None:
    x = np.array([[-np.inf, -np.inf], [np.nan, 1], [2, np.nan], [1, np.inf]], np.float32)
    for op, numpy in (("ReduceMax", np.max), ("ReduceMin", np.min)):
        (found,) = compute(op, x, np.array([1]), opset=18, keepdims=0)
        np.testing.assert_array_equal(found, numpy(x, axis=1))


def test_booleans(agree: Compute) -> None:
    agree("ReduceMax", np.array([[True, False], [False, False]]), np.array([1]), opset=20)


def test_reduction_of_nothing(compute: Compute) -> None:
    empty = np.zeros((2, 0, 3), np.float32)
    for op, value in (("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -np.inf)):
        (found,) = compute(op, empty, np.array([1]), opset=20)
        np.testing.assert_array_equal(found, np.full((2, 1, 3), value, np.float32))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
def test_places_are_int64(op: str, last: int, agree: Compute) -> None:
    x = np.array([[3, 1, 3], [1, 1, 2]], np.float32)
    (found,) = agree(op, x, axis=1, keepdims=0, select_last_index=last)
    assert found.dtype == np.int64
