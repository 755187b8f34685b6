"""Converters of operators that read or write at places given by indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax, topi

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, stacked
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    const,
    constant,
    dtype_of,
    scalar,
    shape_of,
)

_op: Any = relax.op


def _from_front(node: Node, indices: Expr, extents: Any) -> Expr:
    """Return indices counted from the front.

    Args:
        node: The node under conversion.
        indices: The indices, of which negative ones count from the back.
        extents: Number of elements along the axis, or an array that broadcasts with the indices.

    Returns:
        The indices, as int64.
    """
    value = constant(indices)
    if value is not None:
        value = value.astype(np.int64)
        return const(np.where(value < 0, value + extents, value))
    if dtype_of(indices) != "int64":
        indices = node.emit(_op.astype(indices, "int64"))
    shifted = _op.add(indices, const(np.asarray(extents, np.int64)))
    return node.emit(_op.where(_op.less(indices, scalar(0, indices)), shifted, indices))


def _gather(node: Node) -> Expr:
    axis = axis_of(node.attributes.get("axis", 0), len(shape_of(node.x)))
    indices = _from_front(node, node.inputs[1], shape_of(node.x)[axis])
    return _op.take(node.x, indices, axis, mode="clip")


def _gather_elements(node: Node) -> Expr:
    axis = axis_of(node.attributes.get("axis", 0), len(shape_of(node.x)))
    indices = _from_front(node, node.inputs[1], shape_of(node.x)[axis])
    return _op.gather_elements(node.x, indices, axis)


def _gather_nd(node: Node) -> Expr:
    batch = node.attributes.get("batch_dims", 0)
    width = shape_of(node.inputs[1])[-1]
    extents = np.asarray(shape_of(node.x)[batch : batch + width], np.int64)
    return _op.gather_nd(node.x, _from_front(node, node.inputs[1], extents), batch)


def _compress(node: Node) -> Expr:
    axis, chosen = node.attributes.get("axis"), node.value(1)
    assert chosen is not None  # noqa: S101 - the input is not optional
    data = node.x
    if axis is None:
        data, axis = node.emit(_op.reshape(data, [math.prod(shape_of(data))])), 0
    return _op.take(data, const(np.flatnonzero(chosen)), axis_of(axis, len(shape_of(data))))


def _one_hot(node: Node) -> Expr:
    depth, values = (node.integers(1) or [0])[0], node.inputs[2]
    rank = len(shape_of(node.x)) + 1
    axis = axis_of(node.attributes.get("axis", -1), rank)
    indices = node.emit(_op.expand_dims(_from_front(node, node.x, depth), axis))
    classes = np.arange(depth).reshape([depth if n == axis else 1 for n in range(rank)])
    off, on = (node.emit(_op.take(values, const(np.int64(n)), 0)) for n in (0, 1))
    return _op.where(_op.equal(indices, const(classes)), on, off)


def _reverse_sequence(node: Node) -> Expr:
    time, batch = node.attributes.get("time_axis", 0), node.attributes.get("batch_axis", 1)
    return _op.reverse_sequence(node.x, node.inputs[1], time, batch)


# -- writing


def _reduction(node: Node) -> str:
    found = node.text("reduction", "none")
    return "update" if found == "none" else found


def _scatter_elements(node: Node) -> Expr:
    axis = axis_of(node.attributes.get("axis", 0), len(shape_of(node.x)))
    indices = _from_front(node, node.inputs[1], shape_of(node.x)[axis])
    extents, mine = shape_of(indices), shape_of(node.x)
    updates = node.inputs[2]
    if extents[:axis] == mine[:axis] and extents[axis + 1 :] == mine[axis + 1 :]:
        return node.kernel(
            topi.scatter_elements, node.x, indices, updates, axis, _reduction(node), name="scatter"
        )
    # TVM takes extents along the other axes from the data. So every place is written out.
    count, rank = math.prod(extents), len(mine)
    grid = np.moveaxis(np.indices(extents), 0, -1).reshape(count, rank)
    flat = node.emit(_op.reshape(indices, [count, 1]))
    places = node.emit(_op.where(const(np.eye(rank, dtype=bool)[axis]), flat, const(grid)))
    return _scattered(node, places, node.emit(_op.reshape(updates, [count])))


def _scatter_nd(node: Node) -> Expr:
    width = shape_of(node.inputs[1])[-1]
    extents = np.asarray(shape_of(node.x)[:width], np.int64)
    return _scattered(node, _from_front(node, node.inputs[1], extents), node.inputs[2])


def _scattered(node: Node, places: Expr, updates: Expr) -> Expr:
    """Return the first input with updates at places of shape (..., leading axes)."""
    rank = len(shape_of(places))
    order = [rank - 1, *range(rank - 1)]
    first = node.emit(_op.permute_dims(places, order)) if rank > 1 else places
    return node.kernel(topi.scatter_nd, node.x, first, updates, _reduction(node), name="scatter")


def _tensor_scatter(node: Node) -> Expr:
    """Write updates behind one another, from a place of its own in every batch."""
    data, updates, begin = node.x, node.inputs[1], node.input(2)
    extents, width = shape_of(data), shape_of(updates)
    axis = axis_of(node.attributes.get("axis", -2), len(extents))
    if begin is None:
        begin = const(np.zeros(extents[0], np.int64))
    places = np.indices(width)
    shifts = [extents[0], *[1] * (len(extents) - 1)]
    along = node.emit(_op.add(_op.reshape(begin, shifts), const(places[axis])))
    if node.text("mode", "linear") == "circular":
        along = node.emit(_op.floor_mod(along, scalar(extents[axis], along)))
    columns = [along if n == axis else const(places[n]) for n in range(len(extents))]
    return _scattered(node, stacked(node, columns, -1), updates)


RULES: dict[str, Rule] = {
    "Compress": _compress,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "ReverseSequence": _reverse_sequence,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "TensorScatter": _tensor_scatter,
}
