"""Converters of normalisations and of softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, narrowed, widened
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    const,
    dtype_of,
    scalar,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.reduction import averaged, largest, summed

_op: Any = relax.op


# -- mean and variance


def _centred(node: Node, data: Expr, axes: Sequence[int]) -> tuple[Expr, Expr, Expr]:
    """Return a tensor minus its mean over axes, the mean, and the variance."""
    mean = node.emit(averaged(node, data, axes, True))
    centred = node.emit(_op.subtract(data, mean))
    variance = node.emit(averaged(node, node.emit(_op.multiply(centred, centred)), axes, True))
    return centred, mean, variance


def _inverse(node: Node, variance: Expr, epsilon: float) -> Expr:
    deviation = _op.sqrt(_op.add(variance, scalar(epsilon, variance)))
    return node.emit(_op.divide(scalar(1, variance), deviation))


def _layer(node: Node) -> Any:
    """Convert LayerNormalization to TVM's operator, or to its parts where they are outputs."""
    x, scale, bias = node.x, node.inputs[1], node.input(2)
    rank, epsilon = len(shape_of(x)), float(node.attributes.get("epsilon", 1e-5))
    axes = list(range(axis_of(node.attributes.get("axis", -1), rank), rank))
    whole = shape_of(scale) == shape_of(x)[axes[0] :]
    if node.outputs == 1 and whole and dtype_of(x) == "float32":
        shift = const(np.zeros(shape_of(scale), np.float32)) if bias is None else bias
        return _op.nn.layer_norm(x, scale, shift, axes, epsilon)
    dtype = dtype_of(x)
    wide = widened(node, x)
    centred, mean, variance = _centred(node, wide, axes)
    inverse = _inverse(node, variance, epsilon)
    scaled = _op.multiply(_op.astype(_op.multiply(centred, inverse), dtype), scale)
    y = scaled if bias is None else _op.add(scaled, bias)
    return [y, mean, inverse][: node.outputs]


def _rms(node: Node) -> Expr:
    x, scale, dtype = node.x, node.inputs[1], dtype_of(node.x)
    rank, epsilon = len(shape_of(x)), float(node.attributes.get("epsilon", 1e-5))
    axes = list(range(axis_of(node.attributes.get("axis", -1), rank), rank))
    wide = widened(node, x)
    square = node.emit(averaged(node, node.emit(_op.multiply(wide, wide)), axes, True))
    normal = _op.astype(_op.multiply(wide, _inverse(node, square, epsilon)), dtype)
    return _op.multiply(normal, scale)


def _group(node: Node) -> Expr:
    """Normalise groups of channels; until opset 20, scale and bias are given by group."""
    x, groups = node.x, int(node.attributes["num_groups"])
    extents, dtype = shape_of(x), dtype_of(x)
    split = node.emit(_op.reshape(x, [extents[0], groups, -1]))
    wide = widened(node, split)
    centred, _, variance = _centred(node, wide, [2])
    inverse = _inverse(node, variance, float(node.attributes.get("epsilon", 1e-5)))
    normal = _op.reshape(_op.astype(_op.multiply(centred, inverse), dtype), extents)
    parameters = [node.inputs[1], node.inputs[2]]
    if node.opset < 21:
        parameters = [node.emit(_op.repeat(p, extents[1] // groups, 0)) for p in parameters]
    scale, bias = (_by_channel(node, p, len(extents)) for p in parameters)
    return _op.add(_op.multiply(normal, scale), bias)


def _by_channel(node: Node, vector: Expr, rank: int) -> Expr:
    return node.emit(_op.reshape(vector, [1, -1, *[1] * (rank - 2)]))


def _instance(node: Node) -> Expr:
    x, rank = node.x, len(shape_of(node.x))
    centred, _, variance = _centred(node, x, list(range(2, rank)))
    inverse = _inverse(node, variance, float(node.attributes.get("epsilon", 1e-5)))
    scale, bias = (_by_channel(node, node.inputs[n], rank) for n in (1, 2))
    return _op.add(_op.multiply(_op.multiply(centred, inverse), scale), bias)


def _batch(node: Node) -> Any:
    x, scale, bias, mean, variance = node.inputs[:5]
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    training = node.attributes.get("training_mode") if node.opset >= 14 else node.outputs > 1
    if not training:
        normal = node.emit(_op.nn.batch_norm(x, scale, bias, mean, variance, 1, epsilon))
        return node.emit(relax.TupleGetItem(normal, 0))
    extents = shape_of(x)
    axes = [0, *range(2, len(extents))]
    centred, found, spread = _centred(node, x, axes)
    inverse = _inverse(node, spread, epsilon)
    scale, bias = (_by_channel(node, p, len(extents)) for p in (scale, bias))
    y = _op.add(_op.multiply(_op.multiply(centred, inverse), scale), bias)
    kept = float(node.attributes.get("momentum", 0.9))
    running = [
        _op.add(
            _op.multiply(old, scalar(kept, old)),
            _op.multiply(_op.reshape(new, [extents[1]]), scalar(1 - kept, old)),
        )
        for old, new in ((mean, found), (variance, spread))
    ]
    return [y, *running][: node.outputs]


def _mean_variance(node: Node) -> Expr:
    axes = [axis_of(a, len(shape_of(node.x))) for a in node.attributes.get("axes", (0, 2, 3))]
    centred, _, variance = _centred(node, node.x, axes)
    return _op.divide(centred, _op.add(_op.sqrt(variance), scalar(1e-9, variance)))


def _response(node: Node) -> Expr:
    """Convert LRN: a sum over neighbouring channels."""
    x, size = node.x, int(node.attributes["size"])
    alpha, beta = node.attributes.get("alpha", 1e-4), node.attributes.get("beta", 0.75)
    extents = shape_of(x)
    before, square = (size - 1) // 2, node.emit(_op.multiply(x, x))
    widths = [0] * 2 * len(extents)
    widths[2:4] = before, size - 1 - before
    around = node.emit(_op.nn.pad(square, widths, "constant", 0.0))
    total = None
    for shift in range(size):
        part = _op.strided_slice(around, [1], [shift], [shift + extents[1]], [1])
        total = part if total is None else _op.add(total, part)
    inner = _op.add(
        _op.multiply(total, scalar(alpha / size, x)), scalar(node.attributes.get("bias", 1.0), x)
    )
    return _op.divide(x, _op.power(inner, scalar(beta, x)))


def _lp(node: Node) -> Expr:
    axis = axis_of(node.attributes.get("axis", -1), len(shape_of(node.x)))
    if node.attributes.get("p", 2) == 1:
        norm = node.emit(summed(node, node.emit(_op.abs(node.x)), [axis], True))
    else:
        square = node.emit(_op.multiply(node.x, node.x))
        norm = node.emit(_op.sqrt(node.emit(summed(node, square, [axis], True))))
    zero = _op.equal(norm, scalar(0, norm))
    return _op.where(zero, scalar(0, norm), _op.divide(node.x, norm))


# -- softmax


def _over_axis(node: Node, function: Any) -> Expr:
    """Apply a function of a tensor and an axis; until opset 12, to the flattened tensor."""
    extents = shape_of(node.x)
    if node.opset >= 13:
        return function(node, node.x, axis_of(node.attributes.get("axis", -1), len(extents)))
    axis = node.attributes.get("axis", 1)
    axis += len(extents) if axis < 0 else 0
    rows = math.prod(extents[:axis])
    flat = node.emit(_op.reshape(node.x, [rows, math.prod(extents) // rows]))
    return _op.reshape(node.emit(function(node, flat, 1)), extents)


def _softmax(node: Node, data: Expr, axis: int) -> Expr:
    """Return the softmax over an axis, which TVM approximates in float32 only."""
    if dtype_of(data) == "float32":
        return _op.nn.softmax(data, axis)
    wide = widened(node, data)
    if wide is not data:
        return narrowed(node, node.emit(_op.nn.softmax(wide, axis)), dtype_of(data))
    high = node.emit(largest(node, data, [axis], True))
    powers = node.emit(_op.exp(_op.subtract(data, high)))
    return _op.divide(powers, node.emit(summed(node, powers, [axis], True)))


def _log_softmax(node: Node, data: Expr, axis: int) -> Expr:
    high = node.emit(largest(node, data, [axis], True))
    shifted = node.emit(_op.subtract(data, high))
    total = node.emit(summed(node, node.emit(_op.exp(shifted)), [axis], True))
    return _op.subtract(shifted, _op.log(total))


def _hardmax(node: Node, data: Expr, axis: int) -> Expr:
    extents = shape_of(data)
    places = np.arange(extents[axis]).reshape([-1 if n == axis else 1 for n in range(len(extents))])
    chosen = node.emit(_op.argmax(data, axis, True))
    return _op.astype(_op.equal(chosen, const(places)), dtype_of(data))


RULES: dict[str, Rule] = {
    "BatchNormalization": _batch,
    "GroupNormalization": _group,
    "Hardmax": lambda node: _over_axis(node, _hardmax),
    "InstanceNormalization": _instance,
    "LRN": _response,
    "LayerNormalization": _layer,
    "LogSoftmax": lambda node: _over_axis(node, _log_softmax),
    "LpNormalization": _lp,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": _rms,
    "Softmax": lambda node: _over_axis(node, _softmax),
}
