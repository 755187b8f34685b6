from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Compute = Callable[..., list[np.ndarray]]

NAN, INF = np.nan, np.inf


def single(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_inputs(
    op: str, count: int, agree: Compute, rng: np.random.Generator
) -> None:
    shapes = [(2, 3), (3,), (2, 1)]
    agree(op, *(rng.standard_normal(shape).astype("float32") for shape in shapes[:count]))


@pytest.mark.parametrize(("op", "numpy"), [("Max", np.maximum), ("Min", np.minimum)])
def test_extremes_keep_nan_and_infinity(op: str, numpy: Any, compute: Compute) -> None:
    x, y = single(NAN, 1, INF, -INF, NAN, -INF), single(1, NAN, 1, 1, NAN, -INF)
    (found,) = compute(op, x, y)
    np.testing.assert_array_equal(found, numpy(x, y))


def test_integers_are_divided_towards_zero(agree: Compute) -> None:
    agree("Div", np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2]))


def test_division_by_zero_kills_nothing(compute: Compute) -> None:
    least = np.iinfo(np.int32).min
    x, y = np.array([5, least, 0], np.int32), np.array([0, -1, 0], np.int32)
    (found,) = compute("Div", x, y)
    assert found.tolist() == [0, least, 0]
    (found,) = compute("Mod", x, y)
    assert found.tolist() == [0, 0, 0]


@pytest.mark.parametrize("fmod", [0, 1])
def test_modulo_of_integers(fmod: int, agree: Compute) -> None:
    agree("Mod", np.array([7, -7, 7, -7]), np.array([3, 3, -3, -3]), fmod=fmod)


def test_modulo_of_floats(agree: Compute) -> None:
    agree("Mod", single(7.5, -7.5, 7.5, -7.5), single(2, 2, -2, -2), fmod=1)


@pytest.mark.parametrize("exponent", [np.float32(2), np.float32(3), np.int64(2), np.float32(0.5)])
def test_powers(exponent: Any, agree: Compute) -> None:
    agree("Pow", single(0.5, 2, 3), np.asarray(exponent))


def test_powers_of_integers(agree: Compute) -> None:
    agree("Pow", np.array([2, 3, -2]), np.array([3, 2, 3]))


@pytest.mark.parametrize("op", ["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"])
def test_comparisons_are_booleans(op: str, agree: Compute) -> None:
    (found,) = agree(op, single(1, 2, NAN), single(2, 2, 2))
    assert found.dtype == bool


def test_scalars(agree: Compute) -> None:
    (found,) = agree("Add", np.float32(1.5), np.float32(2))
    assert found.shape == ()


def test_where(agree: Compute) -> None:
    agree("Where", np.array([[True], [False]]), single(1, 2), single(3, 4))


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shifts(direction: str, agree: Compute) -> None:
    x, amounts = np.array([1, 8, 255], np.uint8), np.array([1, 2, 7], np.uint8)
    agree("BitShift", x, amounts, direction=direction)
