"""When two models compute the same, by what the dtypes of their outputs can hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.core.agreement import apart, difference

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([[1.0, 2.0]], [[1.0, 4.0]], 0.5),
        ([[1.0, -4.4]], [[1.0, -4.0]], 0.1),
        ([[1.0, 2.0]], [[1.0, 2.0]], 0.0),
        ([[1.0, 0.0]], [[0.0, 0.0]], 1e30),
        ([[]], [[]], 0.0),
        ([], [], 0.0),
        ([[1.0], [8.0]], [[2.0], [10.0]], 0.5),  # the worst output counts
        ([[8.0], [1.0]], [[10.0], [2.0]], 0.5),
    ],
)
def test_floats_differ_relative_to_the_largest(
    mine: list[object], theirs: list[object], expected: float
) -> None:
    arrays = [[np.array(array, np.float64) for array in side] for side in (mine, theirs)]
    assert difference(*arrays) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ([[1.0]], [[[1.0]]]),
        ([[1.0]], [[1.0, 1.0]]),
        ([[1.0]], [[1.0], [2.0]]),
        ([[1.0]], []),
    ],
)
def test_other_shapes_are_another_model(mine: list[object], theirs: list[object]) -> None:
    assert difference(*([np.array(a) for a in side] for side in (mine, theirs))) == INF


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([-INF, NAN, 1.0], [-INF, NAN, 2.0], 0.5),
        ([NAN], [1.0], NAN),
        ([1.0], [NAN], NAN),
        ([INF, 1.0], [1.0, 1.0], NAN),
        ([INF, 1.0], [-INF, 1.0], NAN),
        ([INF], [NAN], NAN),
        ([INF, 1.0], [INF, 1.0], 0.0),
    ],
)
def test_what_is_not_finite_agrees_with_itself_only(
    mine: list[float], theirs: list[float], expected: float, dtype: str
) -> None:
    found = apart(np.array(mine, dtype), np.array(theirs, dtype))
    if dtype == "float16" and expected > 0:
        expected -= 8 * 2**-10
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_single_wrong_output_is_never_hidden_by_the_others() -> None:
    right, wrong = np.ones(3), np.array([1.0, NAN, 1.0])
    assert math.isnan(difference([right, wrong, right], [right, right, right]))
    assert math.isnan(difference([wrong, right], [right, np.array([1.0, 1.0, 2.0])]))


@pytest.mark.parametrize(
    ("dtype", "mine", "theirs", "expected"),
    [
        ("bool", [True, False, True, True], [True, True, True, True], 0.25),
        ("bool", [True], [True], 0.0),
        ("int64", [1, 2, 3, 4], [1, 2, 3, 5], 0.25),
        ("int32", [2**31 - 1], [-(2**31)], 1.0),
        ("uint32", [0], [2**32 - 1], 1.0),
        ("uint8", [0, 255, 7, 9], [1, 254, 7, 11], 0.25),  # neighbours of quantised numbers
        ("int8", [-128, 127], [127, -128], 1.0),
        ("int16", [1, 2], [1, 3], 0.5),
        ("int64", [], [], 0.0),
    ],
)
def test_of_whole_numbers_the_share_that_differs(
    dtype: str, mine: list[int], theirs: list[int], expected: float
) -> None:
    assert apart(np.array(mine, dtype), np.array(theirs, dtype)) == expected


def test_a_whole_number_is_no_nan() -> None:
    assert apart(np.array([NAN, 1.0]), np.array([0, 1])) == 0.5
    assert apart(np.array([0, 1]), np.array([NAN, 1.0])) == 0.5


@pytest.mark.parametrize(
    ("steps", "expected"), [(0, 0.0), (1, 0.0), (8, 0.0), (12, 4 * 2**-10), (512, 504 * 2**-10)]
)
def test_some_roundings_of_float16_are_none(steps: int, expected: float) -> None:
    mine, theirs = np.array([1.0 + steps * 2**-10, 0.0]), np.array([1.0, 0.0])
    found = apart(mine.astype(np.float16), theirs.astype(np.float16))
    assert found == pytest.approx(expected)
    assert apart(mine, theirs) == steps * 2**-10  # float64 has no such excuse


def test_bfloat16_is_coarser_than_float16() -> None:
    dtype: Any = pytest.importorskip("ml_dtypes").bfloat16
    one = np.array([1.0]).astype(dtype)
    assert apart((one.astype(np.float32) + 8 * 2.0**-7).astype(dtype), one) == 0.0
    assert apart((one.astype(np.float32) + 16 * 2.0**-7).astype(dtype), one) == 8 * 2.0**-7


def test_the_difference_is_of_what_should_be() -> None:
    """The tolerance is relative to the reference, not to what is judged."""
    small, large = np.array([1.0, 0.0]), np.array([100.0, 0.0])
    assert difference([small], [large]) == pytest.approx(0.99)
    assert difference([large], [small]) == pytest.approx(99.0)
