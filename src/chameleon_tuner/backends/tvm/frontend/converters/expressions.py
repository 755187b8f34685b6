"""Expressions of Relax: constants, and what is known of tensors."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from tvm import relax, tirx

Expr = Any
"""A Relax expression."""

Array = npt.NDArray[Any]


def const(value: Any, dtype: Any = None) -> Expr:
    """Return a constant; its dtype is that of the array unless another one is given."""
    array = np.asarray(value, None if dtype is None else numpy_dtype(dtype), order="C")
    return relax.const(array, array.dtype.name)


def constant(expression: Expr) -> Array | None:
    """Return the value of a constant tensor; None for other expressions."""
    value: Any = getattr(expression, "value", None)
    return np.asarray(value.numpy()) if hasattr(value, "numpy") else None


def dtype_of(expression: Expr) -> str:
    """Return the dtype of a tensor."""
    return str(expression.ty.dtype)


def numpy_dtype(dtype: Any) -> Any:
    """Return NumPy's dtype of a TVM dtype."""
    name = str(dtype)
    return np.dtype(getattr(ml_dtypes, name) if hasattr(ml_dtypes, name) else name)


def extents_of(expression: Expr) -> list[int] | None:
    """Return the extents of a tensor; None if they are not all known."""
    return known_extents(expression.ty)


def known_extents(type_: Any) -> list[int] | None:
    """Return the extents of tensors of a type; None if they are not all known."""
    if not isinstance(type_, relax.TensorType) or type_.shape is None:
        return None
    values = list(getattr(type_.shape, "values", []))
    if not all(isinstance(value, int | tirx.IntImm) for value in values):
        return None
    return [int(value) for value in values]


def shape_of(expression: Expr) -> list[int]:
    """Return the extents of a tensor.

    Raises:
        ValueError: They are not all known.
    """
    extents = extents_of(expression)
    if extents is None:
        raise ValueError("an input has no static shape")
    return extents


def axis_of(axis: int, rank: int) -> int:
    """Return the axis counted from the front.

    Raises:
        ValueError: There is no such axis.
    """
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} does not exist in a tensor of rank {rank}")
    return axis % rank


def is_float(dtype: str) -> bool:
    """Return whether a dtype is of floating-point numbers."""
    return "float" in dtype


def scalar(value: float, like: Expr) -> Expr:
    """Return a scalar constant of the dtype of a tensor."""
    return const(np.asarray(value), dtype_of(like))
