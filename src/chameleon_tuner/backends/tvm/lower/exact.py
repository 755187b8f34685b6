"""Legalizers of operators that TVM lowers to something that is wrong for NaN and infinity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tvm import relax, te, tirx, topi


def _largest(found: Any, value: Any) -> Any:
    return tirx.Select(tirx.any(found > value, _is_nan(found)), found, value)


def _smallest(found: Any, value: Any) -> Any:
    return tirx.Select(tirx.any(found < value, _is_nan(found)), found, value)


def _is_nan(value: Any) -> Any:
    return tirx.isnan(value.astype("float32") if "bfloat16" in str(value.ty) else value)


def _reduction(name: str, combine: Any, start: float, integers: Any) -> Callable[..., Any]:
    """Return the legalizer of a reduction to an extreme.

    TVM's own begins with the lowest finite number, which is left where all elements are -inf, and
    drops NaN.

    Args:
        name: Name of the operator.
        combine: Returns the extreme of two numbers, or NaN.
        start: What the reduction of floating-point numbers begins with.
        integers: TVM's own reduction, for integers.

    Returns:
        The legalizer.
    """

    def legalize(builder: relax.BlockBuilder, call: Any) -> Any:
        data, axes, keep = call.args[0], call.attrs.axis, bool(call.attrs.keepdims)
        axes = [int(axis) for axis in (range(len(data.ty.shape)) if axes is None else axes)]
        if "float" not in str(data.ty.dtype):
            return builder.call_te(integers, data, axes, keep, primfunc_name_hint=name)
        reducer = te.comm_reducer(combine, lambda dtype: tirx.const(start, dtype), name=name)
        return builder.call_te(
            lambda x: _reduced(x, axes, keep, reducer, name), data, primfunc_name_hint=name
        )

    return legalize


def _reduced(data: Any, axes: list[int], keep: bool, reducer: Any, name: str) -> Any:
    rank = len(data.shape)
    over = {a % rank: te.reduce_axis((0, data.shape[a % rank]), f"k{a % rank}") for a in axes}
    kept = [axis for axis in range(rank) if axis not in over]
    extents = (
        [1 if axis in over else data.shape[axis] for axis in range(rank)]
        if keep
        else [data.shape[axis] for axis in kept]
    )

    def element(*places: Any) -> Any:
        given = dict(zip(range(rank) if keep else kept, places, strict=True))
        index = [over[axis] if axis in over else given[axis] for axis in range(rank)]
        return reducer(data(*index), axis=list(over.values()))

    return te.compute(extents, element, name=name)


def _extreme(name: str, combine: Any, plain: Any) -> Callable[..., Any]:
    """Return the legalizer of an extreme of two tensors.

    With a number it is TVM's own: such extremes keep NaN when they are compiled, as those of a relu
    and of a clip do (`mathematics.without_calls`).

    Args:
        name: Name of the operator.
        combine: The extreme of two numbers, or NaN.
        plain: TVM's own operator.

    Returns:
        The legalizer.
    """

    def of_tensors(left: Any, right: Any) -> Any:
        if "float" not in str(left.dtype):
            return plain(left, right)
        return _broadcast(left, right, combine, name)

    def of_number(number: float, data: Any) -> Any:
        return plain(data, tirx.const(number, data.dtype))

    def legalize(builder: relax.BlockBuilder, call: Any) -> Any:
        for number, data in (call.args, call.args[::-1]):
            value = _number(number)
            if value is not None:
                return builder.call_te(of_number, value, data, primfunc_name_hint=name)
        return builder.call_te(of_tensors, *call.args, primfunc_name_hint=name)

    return legalize


def _number(expression: Any) -> Any:
    """Return a constant scalar; None for NaN and other expressions."""
    value: Any = getattr(expression, "value", None)
    if not hasattr(value, "numpy") or value.numpy().ndim:
        return None
    number = value.numpy().item()
    return None if number != number else number


def _broadcast(left: Any, right: Any, combine: Any, name: str) -> Any:
    """Combine two tensors whose extents broadcast as NumPy's do."""
    rank = max(len(left.shape), len(right.shape))

    def extent(axis: int) -> Any:
        places = [(t.shape, axis - rank + len(t.shape)) for t in (left, right)]
        found = [shape[place] for shape, place in places if place >= 0]
        return next((e for e in found if not _is_one(e)), found[0])

    def read(tensor: Any, places: Any) -> Any:
        mine = places[rank - len(tensor.shape) :]
        return tensor(*(0 if _is_one(e) else p for e, p in zip(tensor.shape, mine, strict=True)))

    return te.compute(
        [extent(axis) for axis in range(rank)],
        lambda *i: combine(read(left, i), read(right, i)),
        name=name,
    )


def _is_one(extent: Any) -> bool:
    return isinstance(extent, int | tirx.IntImm) and int(extent) == 1


EXACT: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "relax.max": _reduction("max", _largest, -math.inf, topi.max),
        "relax.maximum": _extreme("maximum", _largest, topi.maximum),
        "relax.min": _reduction("min", _smallest, math.inf, topi.min),
        "relax.minimum": _extreme("minimum", _smallest, topi.minimum),
    }
)
"""The legalizers, by operator."""
