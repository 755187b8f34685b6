"""Converters of matrix products."""

from __future__ import annotations

from typing import Any

from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule, narrowed, widened
from chameleon_tuner.backends.tvm.frontend.converters.expressions import Expr, dtype_of, scalar

_op: Any = relax.op


def _product(node: Node, left: Expr, right: Expr) -> Expr:
    """Return a matrix product."""
    wide = node.emit(_op.matmul(widened(node, left), widened(node, right)))
    return narrowed(node, wide, dtype_of(left))


def _gemm(node: Node) -> Expr:
    left, right, bias = node.x, node.inputs[1], node.input(2)
    if node.attributes.get("transA"):
        left = node.emit(_op.permute_dims(left, [1, 0]))
    if node.attributes.get("transB"):
        right = node.emit(_op.permute_dims(right, [1, 0]))
    result = _product(node, _times(node, left, node.attributes.get("alpha", 1.0)), right)
    if bias is None:
        return result
    return _op.add(result, _times(node, bias, node.attributes.get("beta", 1.0)))


def _times(node: Node, data: Expr, factor: float) -> Expr:
    return data if factor == 1.0 else node.emit(_op.multiply(scalar(factor, data), data))


def _einsum(node: Node) -> Expr:
    """Convert Einsum to a matrix product where it is one, and to loops otherwise."""
    equation = node.text("equation").replace(" ", "")
    return node.builder.emit(_op.einsum(tuple(node.inputs), equation))


RULES: dict[str, Rule] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": lambda node: _product(node, node.inputs[0], node.inputs[1]),
}
