from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Compute = Callable[..., list[np.ndarray]]

X = np.arange(24, dtype=np.float32).reshape(4, 6) * 0.5


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(axis: int, agree: Compute) -> None:
    agree("Gather", X, np.array([[0, -1], [2, 1]]), axis=axis)
    agree("Gather", X, np.int64(-2), axis=axis)


def test_gather_elements_and_nd(agree: Compute) -> None:
    agree("GatherElements", X, np.array([[0, -1, 2], [1, 1, 0]]), axis=1)
    agree("GatherND", X, np.array([[0, -1], [3, 2]]))
    agree("GatherND", X, np.array([[1], [-1], [0], [3]]), batch_dims=1)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter(reduction: str, agree: Compute) -> None:
    indices, updates = np.array([[1, -2, 0], [0, 5, 3]]), np.full((2, 3), 2.5, np.float32)
    agree("ScatterElements", X, indices, updates, opset=18, axis=1, reduction=reduction)
    places, rows = np.array([[0], [-1]]), np.full((2, 6), 2.5, np.float32)
    agree("ScatterND", X, places, rows, opset=18, reduction=reduction)


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(dtype: str, largest: int, agree: Compute, rng: np.random.Generator) -> None:
    x = rng.permutation(20).reshape(4, 5).astype(dtype)
    agree("TopK", x, np.array([3]), outputs=2, axis=1, largest=largest)


def test_top_k_of_equal_numbers_is_the_first(compute: Compute) -> None:
    values, places = compute("TopK", np.zeros((2, 4), np.float32), np.array([2]), outputs=2)
    assert places.tolist() == [[0, 1], [0, 1]]
    assert not values.any()


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sum(exclusive: int, reverse: int, agree: Compute) -> None:
    agree("CumSum", X, np.int64(1), exclusive=exclusive, reverse=reverse)


def test_one_hot(agree: Compute) -> None:
    values = np.array([-1, 2.5], np.float32)
    agree("OneHot", np.array([[0, -1], [2, 9]]), np.int64(4), values, axis=1)


def test_compress(agree: Compute) -> None:
    agree("Compress", X, np.array([True, False, True]), axis=1)
    agree("Compress", X, np.array([False, True, True]))


def test_reverse_sequence(agree: Compute) -> None:
    agree("ReverseSequence", X, np.array([1, 2, 3, 4, 4, 2]), time_axis=0, batch_axis=1)


def test_einsum(agree: Compute, rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(shape).astype("float32") for shape in ((2, 3, 4), (2, 4, 5)))
    agree("Einsum", a, b, equation="bij, bjk -> bik")
    agree("Einsum", a, equation="bij->ji")
    agree("Einsum", a, a, equation="bij,bij->")
