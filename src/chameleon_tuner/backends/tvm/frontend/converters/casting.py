"""Converters between dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    dtype_of,
    is_float,
    scalar,
)
from chameleon_tuner.backends.tvm.frontend.converters.shape import onnx_dtype

_op: Any = relax.op


def _cast(node: Node) -> Expr:
    return cast(node, node.x, onnx_dtype(node.attributes["to"]).name)


def _cast_like(node: Node) -> Expr:
    return cast(node, node.x, dtype_of(node.inputs[1]))


def cast(node: Node, data: Expr, dtype: str) -> Expr:
    """Return a tensor in another dtype.

    Args:
        node: The node under conversion.
        data: The tensor.
        dtype: The dtype.

    Returns:
        The tensor.
    """
    source = dtype_of(data)
    if source == dtype:
        return data
    if dtype == "bool":
        return _op.not_equal(data, scalar(0, data))
    if is_float(source) and not is_float(dtype) and np.dtype(dtype).itemsize < 4:
        # Through int32, as C does: a processor has no such instruction.
        return _op.astype(node.emit(_op.astype(data, "int32")), dtype)
    return _op.astype(data, dtype)


def _bit_cast(node: Node) -> Expr:
    dtype = onnx_dtype(node.attributes["to"]).name
    if dtype == dtype_of(node.x):
        return node.x
    if "bool" in (dtype, dtype_of(node.x)):
        return _op.astype(node.x, dtype)
    return node.tensor_te(_reinterpreted, node.x, dtype, primfunc_name_hint="bit_cast")


def _reinterpreted(data: Any, dtype: str) -> Any:
    return te.compute(data.shape, lambda *i: tirx.reinterpret(dtype, data(*i)), name="bit_cast")


RULES: dict[str, Rule] = {"BitCast": _bit_cast, "Cast": _cast, "CastLike": _cast_like}
