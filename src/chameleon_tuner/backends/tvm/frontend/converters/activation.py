"""Converters of functions of a single tensor: activations, rounding, tests of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, narrowed, widened
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    constant,
    dtype_of,
    is_float,
    scalar,
)

_op: Any = relax.op
Unary = Callable[[Expr], Expr]


def unary(operator: Unary) -> Rule:
    """Return the rule of an operator with one input."""
    return lambda node: operator(node.x)


def _in_float(operator: Unary) -> Rule:
    """Return the rule of an operator that TVM has for float32 and float64 only."""

    def rule(node: Node) -> Expr:
        return narrowed(node, node.emit(operator(widened(node, node.x))), dtype_of(node.x))

    return rule


# -- with a lower or an upper end


def _clip(node: Node) -> Expr:
    """Convert Clip to Relax's `maximum` and `minimum`.

    TVM's own converter makes two opaque kernels, whose layout cannot be changed and which do not
    fuse: MobileNet-V2 was left with a transposing clip kernel beside each of 35 convolutions.
    """
    if node.opset < 11:
        low, high = (node.attributes.get(name) for name in ("min", "max"))
        ends = [None if end is None else scalar(end, node.x) for end in (low, high)]
    else:
        ends = [node.input(1), node.input(2)]
    return _clipped(node, node.x, *ends)


def _clipped(node: Node, data: Expr, low: Expr | None, high: Expr | None) -> Expr:
    for end, operator in ((low, _op.maximum), (high, _op.minimum)):
        value = None if end is None else constant(end)
        if end is not None and (value is None or np.isfinite(value).all()):
            data = node.emit(operator(end, data))
    return data


def _ramp(node: Node, slope: float, middle: float) -> Expr:
    """Return the input times a slope plus a constant, between 0 and 1."""
    x = node.x
    line = node.emit(_op.add(_op.multiply(x, scalar(slope, x)), scalar(middle, x)))
    return _clipped(node, line, scalar(0, x), scalar(1, x))


def _hard_sigmoid(node: Node) -> Expr:
    """Convert HardSigmoid without TVM's `clip`, which left transposes on both sides."""
    alpha, beta = (node.attributes.get(*pair) for pair in (("alpha", 0.2), ("beta", 0.5)))
    return _ramp(node, alpha, beta)


def _hard_swish(node: Node) -> Expr:
    """Convert HardSwish without TVM's `clip`: x * HardSigmoid(x), alpha 1/6 and beta 1/2."""
    return _op.multiply(node.x, _ramp(node, 1 / 6, 0.5))


def _thresholded_relu(node: Node) -> Expr:
    alpha = scalar(node.attributes.get("alpha", 1.0), node.x)
    return _op.where(_op.less_equal(node.x, alpha), scalar(0, node.x), node.x)


# -- exponential


def _below_zero(node: Node, negative: Expr) -> Expr:
    """Return `negative` where the input is negative, and the input elsewhere."""
    return _op.where(_op.less(node.x, scalar(0, node.x)), negative, node.x)


def _elu(node: Node) -> Expr:
    alpha = node.attributes.get("alpha", 1.0)
    return _below_zero(node, _stretched(node, alpha))


def _stretched(node: Node, alpha: float) -> Expr:
    x = node.x
    return _op.multiply(scalar(alpha, x), _op.subtract(_op.exp(x), scalar(1, x)))


def _selu(node: Node) -> Expr:
    alpha = node.attributes.get("alpha", 1.67326319217681884765625)
    gamma = node.attributes.get("gamma", 1.05070102214813232421875)
    return _op.multiply(scalar(gamma, node.x), _below_zero(node, _stretched(node, alpha)))


def _celu(node: Node) -> Expr:
    x, alpha = node.x, node.attributes.get("alpha", 1.0)
    inner = _op.exp(_op.divide(x, scalar(alpha, x)))
    return _below_zero(node, _op.multiply(scalar(alpha, x), _op.subtract(inner, scalar(1, x))))


def softplus(x: Expr) -> Expr:
    """Return log(1 + exp(x)), precise where it is small and finite where it is large."""
    power = _op.exp(_op.negative(_op.abs(x)))
    one = scalar(1, x)
    more = _op.add(one, power)
    # Of `power`, `more` lost what its rounding took: the quotient puts it back.
    tail = _op.divide(_op.multiply(_op.log(more), power), _op.subtract(more, one))
    tail = _op.where(_op.equal(more, one), power, tail)
    return _op.add(_op.maximum(scalar(0, x), x), tail)


def _mish(node: Node) -> Expr:
    """Return x * tanh(softplus(x)), as a fraction of powers; it is x where these are large."""
    x = node.x
    power = node.emit(_op.exp(_op.minimum(scalar(20, x), x)))
    above = node.emit(_op.multiply(power, _op.add(power, scalar(2, x))))
    return _op.multiply(x, _op.divide(above, _op.add(above, scalar(2, x))))


def _softsign(node: Node) -> Expr:
    return _op.divide(node.x, _op.add(_op.abs(node.x), scalar(1, node.x)))


def _swish(node: Node) -> Expr:
    slope = node.attributes.get("alpha", 1.0)
    inner = node.x if slope == 1.0 else _op.multiply(scalar(slope, node.x), node.x)
    return _op.multiply(node.x, _op.sigmoid(inner))


def _gelu(node: Node) -> Expr:
    x = node.x
    if node.text("approximate", "none") == "tanh":
        cube = _op.multiply(_op.multiply(x, x), x)
        inner = _op.add(x, _op.multiply(scalar(0.044715, x), cube))
        bent = _op.tanh(_op.multiply(scalar(math.sqrt(2 / math.pi), x), inner))
    else:
        bent = _op.erf(_op.multiply(x, scalar(math.sqrt(0.5), x)))
    return _op.multiply(_op.multiply(scalar(0.5, x), x), _op.add(scalar(1, x), bent))


# -- tests and signs


def _is_inf(node: Node) -> Expr:
    x, found = node.x, None
    for name, infinity in (("detect_negative", -np.inf), ("detect_positive", np.inf)):
        if node.attributes.get(name, 1):
            test = _op.equal(x, scalar(infinity, x))
            found = test if found is None else _op.logical_or(found, test)
    return _op.zeros_like(x, "bool") if found is None else found


def _shrink(node: Node) -> Expr:
    x = node.x
    lambd, bias = node.attributes.get("lambd", 0.5), node.attributes.get("bias", 0.0)
    above = _op.where(
        _op.greater(x, scalar(lambd, x)), _op.subtract(x, scalar(bias, x)), scalar(0, x)
    )
    below = _op.less(x, scalar(-lambd, x))
    return _op.where(below, _op.add(x, scalar(bias, x)), above)


def _reciprocal(node: Node) -> Expr:
    return _op.divide(scalar(1, node.x), node.x)


def _rounded(operator: Unary) -> Rule:
    return lambda node: operator(node.x) if is_float(dtype_of(node.x)) else node.x


RULES: dict[str, Rule] = {
    **{
        name: _in_float(operator)
        for name, operator in {
            "Acos": _op.acos,
            "Acosh": _op.acosh,
            "Asin": _op.asin,
            "Asinh": _op.asinh,
            "Atan": _op.atan,
            "Atanh": _op.atanh,
            "Cos": _op.cos,
            "Cosh": _op.cosh,
            "Erf": _op.erf,
            "Exp": _op.exp,
            "Log": _op.log,
            "Sigmoid": _op.sigmoid,
            "Sin": _op.sin,
            "Sinh": _op.sinh,
            "Sqrt": _op.sqrt,
            "Tan": _op.tan,
            "Tanh": _op.tanh,
        }.items()
    },
    "Abs": unary(_op.abs),
    "BitwiseNot": unary(_op.bitwise_not),
    "Ceil": _rounded(_op.ceil),
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Floor": _rounded(_op.floor),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "IsInf": _is_inf,
    "IsNaN": unary(_op.isnan),
    "Mish": _mish,
    "Neg": unary(_op.negative),
    "Not": unary(_op.logical_not),
    "Reciprocal": _reciprocal,
    "Relu": unary(_op.nn.relu),
    "Round": _rounded(_op.round),
    "Selu": _selu,
    "Shrink": _shrink,
    "Sign": unary(_op.sign),
    "Softplus": _in_float(softplus),
    "Softsign": _softsign,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded_relu,
}
