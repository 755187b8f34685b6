"""How far the outputs of two models are apart, by what their dtypes can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-3
"""Largest difference of outputs that compute the same, see `difference`.

Reordered float32 sums of 4,608 terms differ by 1e-6; a wrong index by 1e-1 and more.
"""

_ROUNDINGS = 8
"""Roundings of an output's own dtype that count as none. Of float16, whose step is 0.1% of a value,
these are 0.8%; of float32 they are 1e-6."""


def difference(mine: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Return how far lists of outputs are apart: the largest `apart` of their pairs.

    Args:
        mine: The outputs that are judged.
        theirs: What they should be, in the same order.

    Returns:
        The difference; infinite where shapes differ, NaN where only one of two values is finite.
    """
    if [np.shape(array) for array in mine] != [np.shape(array) for array in theirs]:
        return math.inf
    pairs = zip(mine, theirs, strict=True)
    return float(np.max([apart(np.asarray(a), np.asarray(b)) for a, b in pairs], initial=0.0))


def apart(mine: Any, theirs: Any) -> float:
    """Return how far two arrays of the same shape are apart.

    Floating-point numbers: the largest difference beyond some roundings, relative to the largest
    magnitude. Integers and booleans: the share of elements that differ; 8-bit ones are quantised
    numbers, of which neighbours are the same. Infinity and NaN agree with themselves only.

    Args:
        mine: The array that is judged.
        theirs: What it should be.

    Returns:
        The difference; NaN where only one of two values is finite, or the infinities differ.
    """
    if theirs.dtype.kind in "biu" or mine.dtype.kind in "biu":
        step = 1 if theirs.dtype.itemsize == 1 and theirs.dtype.kind != "b" else 0
        if mine.size == 0:
            return 0.0
        right = np.abs(mine.astype(np.float64) - theirs.astype(np.float64)) <= step
        return 1.0 - float(right.mean())
    epsilon = _epsilon(theirs.dtype)
    mine, theirs = mine.astype(np.float64), theirs.astype(np.float64)
    odd = ~(np.isfinite(mine) & np.isfinite(theirs))
    if not np.array_equal(mine[odd], theirs[odd], equal_nan=True):
        return math.nan
    mine, theirs = mine[~odd], theirs[~odd]
    scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-30)
    largest = float(np.abs(mine - theirs).max(initial=0.0)) / scale
    return max(0.0, largest - _ROUNDINGS * epsilon)


def _epsilon(dtype: Any) -> float:
    """Return the step of a floating-point dtype at 1, if it is coarse enough to matter."""
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7}.get(str(dtype), 0.0)
