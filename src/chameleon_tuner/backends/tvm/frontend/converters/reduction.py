"""Converters of operators that reduce axes: sums, extremes, their places, and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import relax, topi

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, narrowed, widened
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    const,
    dtype_of,
    is_float,
    numpy_dtype,
    scalar,
    shape_of,
)

_op: Any = relax.op
Reduction = Callable[[Node, Expr, list[int], bool], Expr]


def reduction(
    reduce: Reduction, before: Callable[[Expr], Expr] | None = None, after: Any = None
) -> Rule:
    """Return the rule of a reduction.

    Args:
        reduce: The reduction.
        before: What is done with every element first.
        after: What is done with the result.

    Returns:
        The rule.
    """

    def rule(node: Node) -> Expr:
        data = node.x if before is None else node.emit(before(node.x))
        rank, axes = len(shape_of(data)), node.integers(1, "axes")
        keep = bool(node.attributes.get("keepdims", 1))
        if axes or not node.attributes.get("noop_with_empty_axes"):
            found = sorted(axis_of(axis, rank) for axis in axes or range(rank))
            data = reduce(node, data, found, keep)
        return data if after is None else after(node.emit(data))

    return rule


def summed(node: Node, data: Expr, axes: Sequence[int], keep: bool) -> Expr:
    """Return the sum over axes, which is computed in float32 for narrow dtypes.

    Args:
        node: The node under conversion.
        data: The tensor.
        axes: The axes, counted from the front.
        keep: Whether the axes stay, with one element.

    Returns:
        The sum.
    """
    return _over(node, _op.sum, data, axes, keep, 0)


def averaged(node: Node, data: Expr, axes: Sequence[int], keep: bool) -> Expr:
    """Return the mean over axes, which is computed in float32 for narrow dtypes.

    Args:
        node: The node under conversion.
        data: The tensor.
        axes: The axes, counted from the front.
        keep: Whether the axes stay, with one element.

    Returns:
        The mean.
    """
    if not is_float(dtype_of(data)):
        count = math.prod(shape_of(data)[axis] for axis in axes)
        total = node.emit(summed(node, data, axes, keep))
        return _op.divide(total, scalar(count, total))
    return _over(node, _op.mean, data, axes, keep, np.nan)


def _product(node: Node, data: Expr, axes: Sequence[int], keep: bool) -> Expr:
    return _over(node, _op.prod, data, axes, keep, 1)


def _over(
    node: Node, operator: Any, data: Expr, axes: Sequence[int], keep: bool, empty: float
) -> Expr:
    dtype, extents = dtype_of(data), shape_of(data)
    if any(extents[axis] == 0 for axis in axes):
        return _filled(data, axes, keep, empty)
    if not axes:
        return data
    wide = widened(node, data)
    return narrowed(node, node.emit(operator(wide, list(axes), keep)), dtype)


def _filled(data: Expr, axes: Sequence[int], keep: bool, value: float) -> Expr:
    """Return what the reduction of nothing is."""
    extents = [
        1 if number in axes else extent
        for number, extent in enumerate(shape_of(data))
        if keep or number not in axes
    ]
    return const(np.full(extents, value).astype(numpy_dtype(dtype_of(data))))


# -- extremes


def largest(node: Node, data: Expr, axes: Sequence[int], keep: bool) -> Expr:
    """Return the largest elements over axes.

    Args:
        node: The node under conversion.
        data: The tensor.
        axes: The axes, counted from the front.
        keep: Whether the axes stay, with one element.

    Returns:
        The largest elements.
    """
    return _extreme(node, data, axes, keep, True)


def _smallest(node: Node, data: Expr, axes: Sequence[int], keep: bool) -> Expr:
    return _extreme(node, data, axes, keep, False)


def _extreme(node: Node, data: Expr, axes: Sequence[int], keep: bool, high: bool) -> Expr:
    dtype = dtype_of(data)
    if any(shape_of(data)[axis] == 0 for axis in axes):
        return _filled(data, axes, keep, _neutral(dtype, high))
    if not axes:
        return data
    if dtype == "bool":
        number = node.emit(_op.astype(data, "int8"))
        return _op.astype(node.emit(_extreme(node, number, axes, keep, high)), "bool")
    return (_op.max if high else _op.min)(data, list(axes), keep)


def _neutral(dtype: str, high: bool) -> Any:
    if dtype == "bool":
        return not high
    if is_float(dtype):
        return -np.inf if high else np.inf
    info = np.iinfo(dtype)
    return info.min if high else info.max


# -- combinations


def _log_sum_exp(node: Node, data: Expr, axes: list[int], keep: bool) -> Expr:
    if any(shape_of(data)[axis] == 0 for axis in axes):
        return _filled(data, axes, keep, -np.inf)
    high = node.emit(largest(node, data, axes, True))
    finite = node.emit(_op.where(_op.isfinite(high), high, scalar(0, high)))
    powers = node.emit(_op.exp(_op.subtract(data, finite)))
    total = node.emit(_op.add(_op.log(node.emit(summed(node, powers, axes, True))), finite))
    return total if keep or not axes else _op.squeeze(total, axes)


# -- places of extremes


def _place(high: bool) -> Rule:
    def rule(node: Node) -> Expr:
        axis = axis_of(node.attributes.get("axis", 0), len(shape_of(node.x)))
        keep = bool(node.attributes.get("keepdims", 1))
        last = bool(node.attributes.get("select_last_index"))
        data = node.emit(_op.flip(node.x, axis)) if last else node.x
        found = node.emit((_op.argmax if high else _op.argmin)(data, axis, keep))
        if not last:
            return found
        return _op.subtract(scalar(shape_of(node.x)[axis] - 1, found), found)

    return rule


def _top_k(node: Node) -> list[Expr]:
    given = node.integers(1)
    count = given[0] if given is not None else int(node.attributes["k"])
    axis = axis_of(node.attributes.get("axis", -1), len(shape_of(node.x)))
    high = bool(node.attributes.get("largest", 1))
    keys = _signed(node, node.x)
    order = node.kernel(topi.argsort, keys, None, axis, not high, "int64", name="argsort")
    chosen = node.emit(_op.strided_slice(order, [axis], [0], [count], [1]))
    return [_op.gather_elements(node.x, chosen, axis), chosen]


def _signed(node: Node, data: Expr) -> Expr:
    """Return numbers of the same order in a dtype that TVM's runtime sorts."""
    dtype = dtype_of(data)
    if dtype == "uint64":
        flipped = _op.bitwise_xor(data, scalar(2**63, data))
        return node.emit(_op.astype(flipped, "int64"))
    if is_float(dtype) or dtype in ("int32", "int64", "uint8"):
        return data
    return node.emit(_op.astype(data, "int64"))


# -- running sums and products


def _running(compute: Callable[..., Any]) -> Rule:
    def rule(node: Node) -> Expr:
        given = node.integers(1) or [0]
        axis = axis_of(given[0], len(shape_of(node.x)))
        back = bool(node.attributes.get("reverse"))
        exclusive = bool(node.attributes.get("exclusive"))
        data = node.emit(_op.flip(node.x, axis)) if back else node.x
        found = node.kernel(compute, data, axis, dtype_of(data), exclusive, name="running")
        return _op.flip(found, axis) if back else found

    return rule


RULES: dict[str, Rule] = {
    "ArgMax": _place(True),
    "ArgMin": _place(False),
    "CumProd": _running(topi.cumprod),
    "CumSum": _running(topi.cumsum),
    "ReduceL1": reduction(summed, _op.abs),
    "ReduceL2": reduction(summed, lambda x: _op.multiply(x, x), _op.sqrt),
    "ReduceLogSum": reduction(summed, None, _op.log),
    "ReduceLogSumExp": reduction(_log_sum_exp),
    "ReduceMax": reduction(largest),
    "ReduceMean": reduction(averaged),
    "ReduceMin": reduction(_smallest),
    "ReduceProd": reduction(_product),
    "ReduceSum": reduction(summed),
    "ReduceSumSquare": reduction(summed, lambda x: _op.multiply(x, x)),
    "TopK": _top_k,
}
