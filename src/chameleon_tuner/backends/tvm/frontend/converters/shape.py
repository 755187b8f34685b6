"""Converters of operators that rearrange a tensor without computing: shapes, slices, padding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    const,
    dtype_of,
    numpy_dtype,
    shape_of,
)

_op: Any = relax.op


# -- shapes as values


def _shape(node: Node) -> Expr:
    extents = np.asarray(shape_of(node.x), np.int64)
    return const(extents[node.attributes.get("start", 0) : node.attributes.get("end")])


def _size(node: Node) -> Expr:
    return const(np.asarray(math.prod(shape_of(node.x)), np.int64))


def _eye_like(node: Node) -> Expr:
    dtype = numpy_dtype(dtype_of(node.x))
    if "dtype" in node.attributes:
        dtype = onnx_dtype(node.attributes["dtype"])
    rows, columns = shape_of(node.x)
    return const(np.eye(rows, columns, k=node.attributes.get("k", 0)).astype(dtype))


def onnx_dtype(element: int) -> Any:
    """Return NumPy's dtype of an ONNX element type."""
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(element)


def _constant(node: Node) -> Expr:
    from onnx import numpy_helper

    ((name, value),) = node.attributes.items()
    if name == "value":
        return const(numpy_helper.to_array(value))
    if name.startswith("value_string"):
        raise ValueError("strings are not supported")
    return const(np.asarray(value, np.int64 if "int" in name else np.float32))


# -- the same elements in the same order


def _reshape(node: Node) -> Expr:
    mine, wanted = shape_of(node.x), node.integers(1, "shape") or []
    if not node.attributes.get("allowzero"):
        wanted = [mine[n] if extent == 0 else extent for n, extent in enumerate(wanted)]
    return reshaped(node.x, wanted)


def reshaped(data: Expr, wanted: Sequence[int]) -> Expr:
    """Return a tensor with other extents, of which one may be -1."""
    total, known = math.prod(shape_of(data)), math.prod(e for e in wanted if e != -1)
    extents = [total // max(known, 1) if extent == -1 else int(extent) for extent in wanted]
    if math.prod(extents) != total:
        raise ValueError(f"{total} elements do not have the shape {list(wanted)}")
    return _op.reshape(data, extents)


def _flatten(node: Node) -> Expr:
    extents = shape_of(node.x)
    axis = node.attributes.get("axis", 1)
    rows = math.prod(extents[: axis if axis >= 0 else axis + len(extents)])
    return _op.reshape(node.x, [rows, math.prod(extents) // max(rows, 1)])


def _squeeze(node: Node) -> Expr:
    extents, axes = shape_of(node.x), node.integers(1, "axes")
    if axes is None:
        axes = [number for number, extent in enumerate(extents) if extent == 1]
    # Counted from the front: a negative axis kills the process where layouts are converted.
    found = sorted(axis_of(axis, len(extents)) for axis in axes)
    wrong = [axis for axis in found if extents[axis] != 1]
    if wrong:
        raise ValueError(f"axis {wrong[0]} has {extents[wrong[0]]} elements, not 1")
    return _op.squeeze(node.x, found) if found else node.x


def _unsqueeze(node: Node) -> Expr:
    axes = node.integers(1, "axes") or []
    rank = len(shape_of(node.x)) + len(axes)
    return _op.expand_dims(node.x, sorted(axis_of(axis, rank) for axis in axes))


def _identity(node: Node) -> Expr:
    return node.x


def _dropout(node: Node) -> list[Expr]:
    """Convert Dropout, which does nothing but in training, when it is random."""
    training = node.value(2) if node.opset >= 12 else None
    ratio = node.value(1) if node.opset >= 12 else None
    if training is not None and training.any() and (ratio is None or ratio.any()):
        raise ValueError("it drops elements at random: its training mode is on")
    kind = dtype_of(node.x) if node.opset < 10 else "bool"
    mask = const(np.ones(shape_of(node.x), numpy_dtype(kind)))
    return [node.x, mask][: node.outputs]


# -- other orders, copies


def _transpose(node: Node) -> Expr:
    rank = len(shape_of(node.x))
    order = node.attributes.get("perm") or range(rank - 1, -1, -1)
    return _op.permute_dims(node.x, list(order)) if rank > 1 else node.x


def _expand(node: Node) -> Expr:
    mine, wanted = shape_of(node.x), node.integers(1) or []
    return _op.broadcast_to(node.x, list(np.broadcast_shapes(mine, wanted)))


def _tile(node: Node) -> Expr:
    return _op.tile(node.x, node.integers(1))


def _concat(node: Node) -> Expr:
    axis = axis_of(node.attributes.get("axis", 1), len(shape_of(node.x)))
    parts = [part for part in node.inputs if 0 not in shape_of(part)]
    return _op.concat(parts, axis) if len(parts) > 1 else (parts or node.inputs)[0]


def _split(node: Node) -> list[Expr]:
    axis = axis_of(node.attributes.get("axis", 0), len(shape_of(node.x)))
    extent, sizes = shape_of(node.x)[axis], node.integers(1, "split")
    if sizes is None:
        count = node.attributes.get("num_outputs", node.outputs)
        sizes = [len(part) for part in _even(extent, count)]
    ends = np.cumsum([0, *sizes]).tolist()
    if ends[-1] != extent:
        raise ValueError(f"the parts have {ends[-1]} elements, not {extent}")
    pairs = itertools.pairwise(ends)
    if 0 in sizes or len(sizes) == 1:
        return [_part(node.x, axis, begin, end) for begin, end in pairs]
    parts = node.emit(_op.split(node.x, ends[1:-1], axis))
    return [node.emit(relax.TupleGetItem(parts, n)) for n in range(len(sizes))]


def _even(extent: int, count: int) -> list[range]:
    """Return equal parts of a range, of which the last may be smaller."""
    step = -(-extent // count)
    return [range(min(n * step, extent), min((n + 1) * step, extent)) for n in range(count)]


def _part(data: Expr, axis: int, begin: int, end: int) -> Expr:
    if begin == end:
        extents = shape_of(data)
        extents[axis] = 0
        return const(np.zeros(extents, numpy_dtype(dtype_of(data))))
    return _op.strided_slice(data, [axis], [begin], [end], [1])


def _slice(node: Node) -> Expr:
    extents, starts = shape_of(node.x), node.integers(1, "starts") or []
    ends = node.integers(2, "ends") or []
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4) or [1] * len(starts)
    found = [range(extent) for extent in extents]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(axis, len(extents))
        found[axis] = range(extents[axis])[start:end:step]
    if not all(found):
        return const(np.zeros([len(part) for part in found], numpy_dtype(dtype_of(node.x))))
    cut = [n for n, part in enumerate(found) if part != range(extents[n])]
    if not cut:
        return node.x
    # An end before the first element is counted from the back: -1 would be the last element.
    stops = [found[n].stop if found[n].stop >= 0 else -extents[n] - 1 for n in cut]
    begins, strides = [found[n].start for n in cut], [found[n].step for n in cut]
    return _op.strided_slice(node.x, cut, begins, stops, strides)


def _pad(node: Node) -> Expr:
    extents, mode = shape_of(node.x), node.text("mode", "constant")
    pads = node.integers(1, "pads" if node.opset > 1 else "paddings") or []
    axes = node.integers(3) if node.opset >= 18 else None
    axes = list(range(len(extents))) if axes is None else axes
    half = len(pads) // 2
    amounts = [(0, 0)] * len(extents)
    for axis, before, after in zip(axes, pads[:half], pads[half:], strict=True):
        amounts[axis_of(axis, len(extents))] = (before, after)
    data = _cropped(node, amounts)
    amounts = [(max(before, 0), max(after, 0)) for before, after in amounts]
    if mode == "constant":
        given = node.value(2)
        value = node.attributes.get("value", 0.0) if given is None else given.item()
        return padded(node, data, amounts, value)
    for axis, (before, after) in enumerate(amounts):
        if before or after:
            places = np.pad(np.arange(shape_of(data)[axis]), (before, after), mode)  # type: ignore[call-overload]
            data = node.emit(_op.take(data, const(places), axis))
    return data


def _cropped(node: Node, amounts: Sequence[tuple[int, int]]) -> Expr:
    """Return the input without what negative padding takes away."""
    extents = shape_of(node.x)
    cut = [n for n, pair in enumerate(amounts) if min(pair) < 0]
    if not cut:
        return node.x
    begins = [max(-amounts[n][0], 0) for n in cut]
    ends = [extents[n] + min(amounts[n][1], 0) for n in cut]
    return node.emit(_op.strided_slice(node.x, cut, begins, ends, [1] * len(cut)))


def padded(node: Node, data: Expr, amounts: Sequence[tuple[int, int]], value: Any) -> Expr:
    """Return a tensor with a constant around it.

    Args:
        node: The node under conversion.
        data: The tensor.
        amounts: Number of elements before and after, by axis.
        value: The constant.

    Returns:
        The larger tensor; the same one if nothing is added.
    """
    if not any(before or after for before, after in amounts):
        return data
    if 0 in shape_of(data):
        extents = [e + sum(pair) for e, pair in zip(shape_of(data), amounts, strict=True)]
        return const(np.full(extents, value, numpy_dtype(dtype_of(data))))
    widths = [int(width) for pair in amounts for width in pair]
    return node.emit(_op.nn.pad(data, widths, "constant", value))


# -- blocks of an image and channels


def _depth_to_space(node: Node) -> Expr:
    block = int(node.attributes["blocksize"])
    batch, channels, height, width = shape_of(node.x)
    rest = channels // block**2
    if node.text("mode", "DCR") == "DCR":
        split, order = [batch, block, block, rest, height, width], [0, 3, 4, 1, 5, 2]
    else:
        split, order = [batch, rest, block, block, height, width], [0, 1, 4, 2, 5, 3]
    moved = _op.permute_dims(_op.reshape(node.x, split), order)
    return _op.reshape(moved, [batch, rest, height * block, width * block])


def _space_to_depth(node: Node) -> Expr:
    block = int(node.attributes["blocksize"])
    batch, channels, height, width = shape_of(node.x)
    height, width = height // block, width // block
    split = _op.reshape(node.x, [batch, channels, height, block, width, block])
    deep = node.text("mode", "DCR") == "DCR"
    moved = _op.permute_dims(split, [0, 3, 5, 1, 2, 4] if deep else [0, 1, 3, 5, 2, 4])
    return _op.reshape(moved, [batch, channels * block**2, height, width])


RULES: dict[str, Rule] = {
    "Concat": _concat,
    "Constant": _constant,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "EyeLike": _eye_like,
    "Flatten": _flatten,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
