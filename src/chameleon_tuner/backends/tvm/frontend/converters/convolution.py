"""Converters of convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, narrowed, widened
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Array,
    Expr,
    const,
    constant,
    dtype_of,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.shape import padded
from chameleon_tuner.backends.tvm.frontend.converters.windows import windows_of

_op: Any = relax.op

_LAYOUTS = {1: "W", 2: "HW", 3: "DHW"}
"""Names of the axes of an image, by their number."""


def convolved(node: Node, data: Expr, weight: Expr, out_dtype: str | None = None) -> Expr:
    """Return a convolution with the attributes of a node.

    Args:
        node: The node.
        data: The image.
        weight: The weights.
        out_dtype: Dtype in which products are added up.

    Returns:
        The result, without a bias.
    """
    windows = windows_of(node, shape_of(weight)[2:])
    rank = len(windows.kernel)
    if rank not in _LAYOUTS:
        raise ValueError(f"convolutions over {rank} axes are not supported")
    options = {} if out_dtype is None else {"out_dtype": out_dtype}
    return getattr(_op.nn, f"conv{rank}d")(
        data,
        weight,
        strides=list(windows.strides),
        padding=windows.pads,
        dilation=list(windows.dilations),
        groups=int(node.attributes.get("group", 1)),
        data_layout=f"NC{_LAYOUTS[rank]}",
        kernel_layout=f"OI{_LAYOUTS[rank]}",
        **options,
    )


def with_bias(node: Node, data: Expr, bias: Expr | None) -> Expr:
    """Return an image plus a bias by channel.

    Args:
        node: The node under conversion.
        data: The image.
        bias: The bias; None for none.

    Returns:
        The sum.
    """
    if bias is None:
        return data
    rank = len(shape_of(data))
    return _op.add(data, _op.reshape(bias, [1, -1, *[1] * (rank - 2)]))


def _convolution(node: Node) -> Expr:
    dtype = dtype_of(node.x)
    data, weight = (widened(node, value) for value in node.inputs[:2])
    result = narrowed(node, node.emit(convolved(node, data, weight)), dtype)
    return with_bias(node, result, node.input(2))


# -- transposed: every element of the input is spread over a window
#
# The outputs of one phase, those whose distance is a multiple of the stride, are a convolution with
# every stride-th element of the window. So a convolution computes all phases as channels, which are
# then put side by side. It multiplies no zeros, and is laid out and tuned like any other.


def _transposed(node: Node) -> Expr:
    weight, dtype = node.inputs[1], dtype_of(node.x)
    rank = len(shape_of(weight)) - 2
    if rank not in _LAYOUTS:
        raise ValueError(f"convolutions over {rank} axes are not supported")
    strides = list(node.attributes.get("strides") or [1] * rank)
    dilations = list(node.attributes.get("dilations") or [1] * rank)
    groups = int(node.attributes.get("group", 1))
    reach = [(k - 1) * d + 1 for k, d in zip(shape_of(weight)[2:], dilations, strict=True)]
    taps = [-(-extent // stride) for extent, stride in zip(reach, strides, strict=True)]
    phases = node.emit(
        getattr(_op.nn, f"conv{rank}d")(
            widened(node, node.x),
            widened(node, _by_phase(node, weight, strides, dilations, taps, groups)),
            padding=[tap - 1 for tap in taps] * 2,
            groups=groups,
            data_layout=f"NC{_LAYOUTS[rank]}",
            kernel_layout=f"OI{_LAYOUTS[rank]}",
        )
    )
    whole = [
        (extent - 1) * stride + size
        for extent, stride, size in zip(shape_of(node.x)[2:], strides, reach, strict=True)
    ]
    result = _interleaved(node, phases, strides)
    cut = _cut(node, whole, strides)
    begins = [max(before, 0) for before, _ in cut]
    ends = [extent - max(after, 0) for extent, (_, after) in zip(whole, cut, strict=True)]
    if begins != [0] * rank or ends != shape_of(result)[2:]:
        axes = list(range(2, rank + 2))
        result = node.emit(_op.strided_slice(result, axes, begins, ends, [1] * rank))
    missing = [(0, max(-after, 0)) for _, after in cut]
    result = padded(node, result, [(0, 0), (0, 0), *missing], 0.0)
    return with_bias(node, narrowed(node, result, dtype), node.input(2))


def _by_phase(
    node: Node,
    weight: Expr,
    strides: Sequence[int],
    dilations: Sequence[int],
    taps: Sequence[int],
    groups: int,
) -> Expr:
    """Return weights (in, out, ...) as those of the convolution that computes all phases."""
    places: Array = np.arange(1, math.prod(shape_of(weight)) + 1).reshape(shape_of(weight))
    for axis, (stride, dilation, tap) in enumerate(zip(strides, dilations, taps, strict=True)):
        places = _stretched(places, axis + 2, dilation, stride * tap)
    rank, inputs, outputs = len(strides), int(places.shape[0]), int(places.shape[1])
    extents = [e for pair in zip(taps, strides, strict=True) for e in pair]
    split = places.reshape(groups, inputs // groups, outputs, *extents)
    inner = range(3, 3 + 2 * rank, 2)
    phases = split.transpose(0, 2, *range(4, 4 + 2 * rank, 2), 1, *inner)
    phases = np.flip(phases, tuple(range(3 + rank, 3 + 2 * rank)))
    wanted = phases.reshape(groups * outputs * math.prod(strides), inputs // groups, *taps)
    return _looked_up(node, weight, wanted)


def _stretched(places: Array, axis: int, dilation: int, extent: int) -> Array:
    """Return an array with zeros between its elements along an axis, and behind them."""
    shape = list(places.shape)
    shape[axis] = extent
    result = np.zeros(shape, places.dtype)
    every = [slice(None)] * places.ndim
    every[axis] = slice(0, (places.shape[axis] - 1) * dilation + 1, dilation)
    result[tuple(every)] = places
    return result


def _looked_up(node: Node, weight: Expr, places: Array) -> Expr:
    """Return elements of a tensor by their place, counted from 1; 0 is a zero."""
    value = constant(weight)
    if value is not None:
        return const(np.concatenate([np.zeros(1, value.dtype), value.ravel()])[places])
    flat = node.emit(_op.reshape(weight, [-1]))
    zero = const(np.zeros(1), dtype_of(weight))
    return node.emit(_op.take(node.emit(_op.concat([zero, flat], 0)), const(places), 0))


def _interleaved(node: Node, phases: Expr, strides: Sequence[int]) -> Expr:
    """Put phases, which are innermost among the channels, side by side."""
    if math.prod(strides) == 1:
        return phases
    batch, channels, *extents = shape_of(phases)
    rank, outputs = len(strides), channels // math.prod(strides)
    split = _op.reshape(phases, [batch, outputs, *strides, *extents])
    order = [a for n in range(rank) for a in (2 + rank + n, 2 + n)]
    whole = [extent * stride for extent, stride in zip(extents, strides, strict=True)]
    moved = _op.permute_dims(split, [0, 1, *order])
    return node.emit(_op.reshape(moved, [batch, outputs, *whole]))


def _cut(node: Node, whole: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Return what is cut off before and behind the whole result; negative if zeros are added."""
    rank = len(whole)
    extra = list(node.attributes.get("output_padding") or [0] * rank)
    auto, wanted = node.text("auto_pad", "NOTSET"), node.attributes.get("output_shape")
    if wanted is None and not auto.startswith("SAME"):
        pads = list(node.attributes.get("pads") or [0] * 2 * rank)
        pads = [0] * 2 * rank if auto == "VALID" else pads
        return [(pads[n], pads[n + rank] - extra[n]) for n in range(rank)]
    if wanted is None:
        wanted = [e * stride for e, stride in zip(shape_of(node.x)[2:], strides, strict=True)]
    cut = []
    for number, extent in enumerate(wanted[-rank:]):
        total = max(whole[number] + extra[number] - extent, 0)
        first = total // 2 if auto == "SAME_UPPER" else total - total // 2
        cut.append((first, whole[number] - first - extent))
    return cut


RULES: dict[str, Rule] = {"Conv": _convolution, "ConvTranspose": _transposed}
