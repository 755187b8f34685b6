"""Converters of operators that compute every element for itself, from one or several tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    constant,
    dtype_of,
    is_float,
    scalar,
    shape_of,
)

_op: Any = relax.op
Binary = Callable[[Expr, Expr], Expr]


def broadcasting(operator: Binary) -> Rule:
    """Return the rule of a binary operator, which before opset 7 says which axes broadcast."""

    def rule(node: Node) -> Expr:
        return operator(*operands(node))

    return rule


def operands(node: Node) -> tuple[Expr, Expr]:
    """Return two inputs that broadcast as NumPy's arrays do."""
    left, right = node.inputs[0], node.inputs[1]
    if node.opset < 7 and node.attributes.get("broadcast") and "axis" in node.attributes:
        mine, rank = shape_of(right), len(shape_of(left))
        after = rank - int(node.attributes["axis"]) % rank - len(mine)
        right = node.emit(_op.reshape(right, [*mine, *[1] * after]))
    return left, right


def variadic(operator: Binary) -> Rule:
    """Return the rule of an operator that takes any number of inputs."""

    def rule(node: Node) -> Expr:
        return functools.reduce(lambda a, b: node.emit(operator(a, b)), node.inputs)

    return rule


# -- integers


def _divided(node: Node) -> Expr:
    """Divide; integers towards zero, and by zero to zero as NumPy does, because x86 would trap."""
    left, right = operands(node)
    dtype = dtype_of(left)
    if is_float(dtype) or _harmless(right):
        return _op.divide(left, right)
    zero = node.emit(_op.equal(right, scalar(0, right)))
    quotient = _op.divide(left, _safe(node, right))
    if not dtype.startswith("u"):
        negative = _op.equal(right, scalar(-1, right))
        quotient = _op.where(negative, _op.negative(left), quotient)
    return _op.where(zero, scalar(0, left), quotient)


def _harmless(divisor: Expr) -> bool:
    """Return whether a divisor is constant and neither 0 nor -1, which overflows once."""
    value = constant(divisor)
    return value is not None and not np.isin(value, (0, -1)).any()


def _safe(node: Node, divisor: Expr) -> Expr:
    """Return a divisor in which 1 stands for what a processor cannot divide by."""
    trap = _op.equal(divisor, scalar(0, divisor))
    if not dtype_of(divisor).startswith("u"):
        trap = _op.logical_or(trap, _op.equal(divisor, scalar(-1, divisor)))
    return node.emit(_op.where(trap, scalar(1, divisor), divisor))


def _modulo(node: Node) -> Expr:
    """Return the remainder: with the sign of the divisor, or of the dividend if `fmod` is set."""
    left, right = operands(node)
    if is_float(dtype_of(left)):
        return _float_modulo(node, left, right)
    if not _harmless(right):
        right = _safe(node, right)  # everything modulo 1 or -1 is 0, and NumPy's modulo 0 is 0
    return (_op.mod if node.attributes.get("fmod") else _op.floor_mod)(left, right)


def _float_modulo(node: Node, left: Expr, right: Expr) -> Expr:
    dtype = dtype_of(left)
    wide = "float32" if dtype in ("float16", "bfloat16") else dtype
    a, b = (node.emit(_op.astype(value, wide)) for value in (left, right))
    shape = np.broadcast_shapes(shape_of(a), shape_of(b))
    a, b = (node.emit(_op.broadcast_to(value, shape)) for value in (a, b))
    rest = node.tensor_te(_fmod, a, b, primfunc_name_hint="fmod")
    if not node.attributes.get("fmod"):
        zero = scalar(0, rest)
        differs = _op.logical_xor(_op.less(rest, zero), _op.less(b, zero))
        wrong = _op.logical_and(_op.not_equal(rest, zero), differs)
        rest = node.emit(_op.where(wrong, _op.add(rest, b), rest))
    return _op.astype(rest, dtype)


def _fmod(a: Any, b: Any) -> Any:
    name = "fmodf" if a.dtype == "float32" else "fmod"
    return te.compute(
        a.shape, lambda *i: tirx.call_pure_extern(a.dtype, name, a(*i), b(*i)), name="fmod"
    )


def _shifted(node: Node) -> Expr:
    """Shift bits; by more than there are, what is left is the sign or nothing."""
    left, right = node.inputs[0], node.inputs[1]
    to_left, dtype = node.text("direction") == "LEFT", dtype_of(left)
    last = scalar(np.dtype(dtype).itemsize * 8 - 1, right)
    inside = _op.less_equal(right, last)
    if not dtype.startswith("u"):
        inside = _op.logical_and(inside, _op.greater_equal(right, scalar(0, right)))
    inside = node.emit(inside)
    shifted = (_op.left_shift if to_left else _op.right_shift)(
        left, node.emit(_op.where(inside, right, last))
    )
    if not to_left and not dtype.startswith("u"):
        return shifted
    return _op.where(inside, shifted, scalar(0, left))


# -- powers, extremes, sums


def _power(node: Node) -> Expr:
    base, exponent = operands(node)
    dtype, value = dtype_of(base), constant(exponent)
    if value is not None and value.size == 1 and value.item() in (2, 3):
        square = node.emit(_op.multiply(base, base))
        return square if value.item() == 2 else _op.multiply(square, base)
    if is_float(dtype):
        return _op.power(base, _op.astype(exponent, dtype))
    wide = [_op.astype(value, "float64") for value in (base, exponent)]
    return _op.astype(_op.power(*wide), dtype)


def _mean(node: Node) -> Expr:
    total = functools.reduce(lambda a, b: node.emit(_op.add(a, b)), node.inputs)
    return _op.divide(total, scalar(len(node.inputs), total))


def _where(node: Node) -> Expr:
    return _op.where(*node.inputs)


RULES: dict[str, Rule] = {
    "Add": broadcasting(_op.add),
    "And": broadcasting(_op.logical_and),
    "BitShift": _shifted,
    "BitwiseAnd": broadcasting(_op.bitwise_and),
    "BitwiseOr": broadcasting(_op.bitwise_or),
    "BitwiseXor": broadcasting(_op.bitwise_xor),
    "Div": _divided,
    "Equal": broadcasting(_op.equal),
    "Greater": broadcasting(_op.greater),
    "GreaterOrEqual": broadcasting(_op.greater_equal),
    "Less": broadcasting(_op.less),
    "LessOrEqual": broadcasting(_op.less_equal),
    "Max": variadic(_op.maximum),
    "Mean": _mean,
    "Min": variadic(_op.minimum),
    "Mod": _modulo,
    "Mul": broadcasting(_op.multiply),
    "Or": broadcasting(_op.logical_or),
    "Pow": _power,
    "Sub": broadcasting(_op.subtract),
    "Sum": variadic(_op.add),
    "Where": _where,
    "Xor": broadcasting(_op.logical_xor),
}
