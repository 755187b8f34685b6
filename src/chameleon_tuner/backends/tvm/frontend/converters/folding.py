"""The evaluation of nodes whose inputs are all constant, by ONNX's reference implementation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

Array = npt.NDArray[Any]

_NAMES = """
    Abs Add And ArgMax ArgMin BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Clip Compress Concat Constant ConstantOfShape Cos CumSum DequantizeLinear Div
    Einsum Equal Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gemm Greater
    GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul Max Mean MelWeightMatrix Min
    Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad Pow QuantizeLinear Range Reciprocal
    ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Round ScatterElements ScatterND Shape Sigmoid Sign Sin Size Slice Split Sqrt Squeeze
    Sub Sum Tanh Tile TopK Transpose Trilu Unique Unsqueeze Where Xor
"""
_FOLDED = frozenset(_NAMES.split())
"""Operators that are evaluated: shape arithmetic, and what is done to weights. Of others, the
reference implementation is slow, or is that of one operator set only."""


def folded(
    operator: str,
    opset: int,
    inputs: Sequence[Array | None],
    attributes: Mapping[str, Any],
    outputs: int,
) -> list[Array] | None:
    """Evaluate a node.

    Args:
        operator: Its operator.
        opset: Version of the operator set.
        inputs: Values of its inputs; None for one that is left out.
        attributes: Its attributes by name.
        outputs: Number of its outputs.

    Returns:
        Its outputs; None if it is not to be evaluated.
    """
    if operator not in _FOLDED or not inputs or "broadcast" in attributes:
        return None
    given = {f"x{n}": value for n, value in enumerate(inputs) if value is not None}
    names = [f"x{n}" if value is not None else "" for n, value in enumerate(inputs)]
    results = [f"y{n}" for n in range(outputs)]
    node = helper.make_node(operator, names, results, **attributes)
    graph = helper.make_graph(
        [node],
        "node",
        [onnx.ValueInfoProto(name=n) for n in given],
        [onnx.ValueInfoProto(name=n) for n in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = ReferenceEvaluator(model).run(None, given)
    except Exception:
        return None
    if not all(isinstance(value, np.ndarray | np.generic) for value in found):
        return None
    arrays = [np.asarray(value) for value in found]
    return None if any(array.dtype == object for array in arrays) else arrays
