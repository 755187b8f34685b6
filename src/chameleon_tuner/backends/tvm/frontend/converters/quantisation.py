"""Converters of quantised tensors: to and from integers, and products of integers."""

from __future__ import annotations

from typing import Any

from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.convolution import convolved
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    dtype_of,
    is_float,
    scalar,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.minifloat import encoded
from chameleon_tuner.backends.tvm.frontend.converters.shape import onnx_dtype
from chameleon_tuner.backends.tvm.frontend.narrow import FORMAT, carrier

_op: Any = relax.op


def _spread(node: Node, parameter: Expr, data: Expr) -> Expr:
    """Return a scale or a zero point in a shape that broadcasts with the data."""
    mine, extents = shape_of(parameter), shape_of(data)
    if not mine or mine == [1]:
        return node.emit(_op.reshape(parameter, []))
    axis = axis_of(node.attributes.get("axis", 1), len(extents))
    if len(mine) == 1:
        wanted = [mine[0] if n == axis else 1 for n in range(len(extents))]
        return node.emit(_op.reshape(parameter, wanted))
    block = int(node.attributes["block_size"])
    repeated = node.emit(_op.repeat(parameter, block, axis))
    if shape_of(repeated)[axis] == extents[axis]:
        return repeated
    return node.emit(_op.strided_slice(repeated, [axis], [0], [extents[axis]], [1]))


def _quantise(node: Node) -> Expr:
    x, zero = node.x, node.input(2)
    dtype = "uint8" if zero is None else dtype_of(zero)
    if node.attributes.get("output_dtype"):
        dtype = onnx_dtype(node.attributes["output_dtype"]).name
    name = node.text(FORMAT, dtype)
    scale = _spread(node, node.inputs[1], x)
    scaled = node.emit(_op.divide(_op.astype(x, dtype_of(scale)), scale))
    real = node.emit(_op.astype(scaled, "float32"))
    zero = None if zero is None else _spread(node, zero, x)
    if is_float(name):
        saturate = bool(node.attributes.get("saturate", 1))
        if zero is not None:
            real = node.emit(_op.add(real, zero))
        return encoded(node, real, name, saturate)
    return _rounded(node, real, zero, name)


def _rounded(node: Node, data: Expr, zero: Expr | None, name: str) -> Expr:
    """Return float32 numbers, rounded to even and shifted, as integers within their range."""
    low, high = _range(name)
    whole = node.emit(_op.round(data))
    if zero is not None:
        whole = node.emit(_op.add(whole, _op.astype(zero, "float32")))
    inside = _op.minimum(scalar(high, whole), _op.maximum(scalar(low, whole), whole))
    narrow = int(name.lstrip("uint")) < 8
    return _op.astype(inside, carrier(name) if narrow else name)


def _range(name: str) -> tuple[int, int]:
    """Return the smallest and the largest integer of a dtype."""
    bits = int(name.lstrip("uint"))
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _dequantise(node: Node) -> Expr:
    x, zero = node.x, node.input(2)
    scale = _spread(node, node.inputs[1], x)
    dtype = dtype_of(scale)
    if node.attributes.get("output_dtype"):
        dtype = onnx_dtype(node.attributes["output_dtype"]).name
    wide = "float32" if is_float(dtype_of(x)) else "int32"
    whole = node.emit(_op.astype(x, wide))
    if zero is not None:
        whole = node.emit(_op.subtract(whole, _op.astype(_spread(node, zero, x), wide)))
    return _op.multiply(_op.astype(whole, dtype), _op.astype(scale, dtype))


def _dynamic(node: Node) -> list[Expr]:
    """Quantise with a scale and a zero point from the data."""
    x = node.x
    axes = list(range(len(shape_of(x))))
    high = node.emit(_op.maximum(scalar(0, x), _op.max(x, axes, False)))
    low = node.emit(_op.minimum(scalar(0, x), _op.min(x, axes, False)))
    scale = node.emit(_op.divide(_op.subtract(high, low), scalar(255, x)))
    zero = node.emit(_rounded(node, node.emit(_op.negative(_op.divide(low, scale))), None, "uint8"))
    return [_rounded(node, node.emit(_op.divide(x, scale)), zero, "uint8"), scale, zero]


# -- products


def _shifted(node: Node, data: Expr, zero: Expr | None, axis: int | None = None) -> Expr:
    """Return integers minus their zero point, as int32.

    Args:
        node: The node under conversion.
        data: The integers.
        zero: The zero point: one, or one along an axis.
        axis: The axis.

    Returns:
        The difference.
    """
    wide = node.emit(_op.astype(data, "int32"))
    if zero is None:
        return wide
    zero = node.emit(_op.astype(zero, "int32"))
    if len(shape_of(zero)) == 1 and axis is not None:
        rank = len(shape_of(data))
        wanted = [-1 if n == axis_of(axis, rank) else 1 for n in range(rank)]
        zero = node.emit(_op.reshape(zero, wanted if shape_of(zero) != [1] else []))
    return node.emit(_op.subtract(wide, zero))


def _matmul_integer(node: Node) -> Expr:
    left = _shifted(node, node.x, node.input(2), -2)
    return _op.matmul(left, _shifted(node, node.inputs[1], node.input(3), -1))


def _conv_integer(node: Node) -> Expr:
    data = _shifted(node, node.x, node.input(2))
    return convolved(node, data, _shifted(node, node.inputs[1], node.input(3), 0))


def _quantised_matmul(node: Node) -> Expr:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = node.inputs
    total = node.emit(_op.matmul(_shifted(node, a, a_zero, -2), _shifted(node, b, b_zero, -1)))
    factor = node.emit(
        _op.divide(_op.multiply(_wide(node, a_scale), _wide(node, b_scale)), _wide(node, scale))
    )
    real = node.emit(_op.multiply(_op.astype(total, "float32"), factor))
    return _rounded(node, real, _flat(node, zero), dtype_of(zero))


def _wide(node: Node, scale: Expr) -> Expr:
    return node.emit(_op.astype(_flat(node, scale), "float32"))


def _flat(node: Node, parameter: Expr) -> Expr:
    """Return a parameter of one element as a scalar."""
    return node.emit(_op.reshape(parameter, [])) if shape_of(parameter) == [1] else parameter


def _quantised_conv(node: Node) -> Expr:
    x, x_scale, x_zero, w, w_scale, w_zero, scale, zero = node.inputs[:8]
    bias = node.input(8)
    total = node.emit(convolved(node, _shifted(node, x, x_zero), _shifted(node, w, w_zero, 0)))
    by_channel = [1, -1, *[1] * (len(shape_of(x)) - 2)]
    if bias is not None:
        total = node.emit(_op.add(total, _op.reshape(bias, by_channel)))
    factor = node.emit(
        _op.divide(_op.multiply(_wide(node, x_scale), _wide(node, w_scale)), _wide(node, scale))
    )
    if shape_of(factor):
        factor = node.emit(_op.reshape(factor, by_channel))
    real = node.emit(_op.multiply(_op.astype(total, "float32"), factor))
    return _rounded(node, real, _flat(node, zero), dtype_of(zero))


RULES: dict[str, Rule] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantise,
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _quantised_conv,
    "QLinearMatMul": _quantised_matmul,
    "QuantizeLinear": _quantise,
}
