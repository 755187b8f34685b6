"""Converters of Fourier transforms, as products with matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Array,
    Expr,
    axis_of,
    const,
    dtype_of,
    numpy_dtype,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.shape import padded

_op: Any = relax.op


def _matrix(length: int, inverse: bool) -> Array:
    """Return the matrix of a transform of complex numbers."""
    angles = 2 * np.pi * np.outer(np.arange(length), np.arange(length)) / length
    found: Array = np.exp((1j if inverse else -1j) * angles)
    return found / length if inverse else found


def _fourier(node: Node) -> Expr:
    """Convert DFT: complex numbers are in a last axis of two elements, real ones of one."""
    given = node.integers(2)
    axis = given[0] if given else int(node.attributes.get("axis", 1 if node.opset < 20 else -2))
    rank = len(shape_of(node.x))
    axis = axis_of(axis, rank)
    wanted = node.integers(1)
    one_sided, inverse = (bool(node.attributes.get(n)) for n in ("onesided", "inverse"))
    order = [*(n for n in range(rank - 1) if n != axis), axis, rank - 1]
    data = node.emit(_op.permute_dims(node.x, order))
    if inverse and one_sided:
        length = wanted[0] if wanted else 2 * (shape_of(data)[-2] - 1)
        result = _real(node, data, length)
    else:
        length = wanted[0] if wanted else shape_of(data)[-2]
        result = _transformed(node, data, length, inverse, one_sided)
    return _op.permute_dims(result, np.argsort(order).tolist())


def _fitted(node: Node, data: Expr, length: int) -> Expr:
    """Return a signal along the axis before the last, cut or with zeros behind it."""
    rank, extent = len(shape_of(data)), shape_of(data)[-2]
    if extent > length:
        return node.emit(_op.strided_slice(data, [rank - 2], [0], [length], [1]))
    return padded(node, data, [*[(0, 0)] * (rank - 2), (0, length - extent), (0, 0)], 0)


def _transformed(node: Node, data: Expr, length: int, inverse: bool, one_sided: bool) -> Expr:
    matrix = _matrix(length, inverse)
    if one_sided:
        matrix = matrix[:, : length // 2 + 1]
    return _times(node, _fitted(node, data, length), matrix)


def _times(node: Node, data: Expr, matrix: Array) -> Expr:
    """Return the product of complex numbers along the axis before the last with a matrix."""
    *rest, length, parts = shape_of(data)
    both = [matrix.real, matrix.imag]
    rows = [np.stack(both, -1)] + ([np.stack([-matrix.imag, matrix.real], -1)] * (parts == 2))
    whole = np.stack(rows, 1).reshape(length * parts, -1)
    flat = node.emit(_op.reshape(data, [*rest, length * parts]))
    product = node.emit(_op.matmul(flat, const(whole.astype(numpy_dtype(dtype_of(data))))))
    return node.emit(_op.reshape(product, [*rest, matrix.shape[1], 2]))


def _real(node: Node, data: Expr, length: int) -> Expr:
    """Return the real signal whose one-sided transform is given."""
    bins = length // 2 + 1
    data = _fitted(node, data, bins)
    matrix = _matrix(length, True)[:bins]
    twice = np.ones((bins, 1))
    twice[1 : (length + 1) // 2] = 2  # the other side is its mirror image
    whole = _times(node, data, matrix * twice)
    rank = len(shape_of(whole))
    return node.emit(_op.strided_slice(whole, [rank - 1], [0], [1], [1]))


def _short_time(node: Node) -> Expr:
    """Convert STFT: overlapping frames times a window, transformed."""
    step, window, length = (node.integers(1) or [1])[0], node.input(2), node.integers(3)
    size = length[0] if length else shape_of(window)[0]
    data = node.x
    if len(shape_of(data)) == 2:
        data = node.emit(_op.expand_dims(data, 2))
    batch, extent, parts = shape_of(data)
    count = 1 + (extent - size) // step
    places = np.arange(count)[:, None] * step + np.arange(size)[None, :]
    frames = node.emit(_op.take(data, const(places.ravel()), 1))
    frames = node.emit(_op.reshape(frames, [batch, count, size, parts]))
    if window is not None:
        frames = node.emit(_op.multiply(frames, node.emit(_op.reshape(window, [size, 1]))))
    one_sided = bool(node.attributes.get("onesided", 1)) and parts == 1
    return _transformed(node, frames, size, False, one_sided)


RULES: dict[str, Rule] = {"DFT": _fourier, "STFT": _short_time}
