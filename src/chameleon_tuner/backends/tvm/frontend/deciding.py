"""Inputs whose values decide on shapes or attributes: TVM compiles a model for their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

LARGEST = 4096
"""Elements of the largest input that a model is specialised on; shapes and axes have few."""

_REDUCTIONS = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]

DECIDING: Mapping[str, tuple[int, ...]] = {
    **{f"Reduce{name}": (1,) for name in _REDUCTIONS},
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "Compress": (1,),
    "ConstantOfShape": (0,),
    "CumProd": (1,),
    "CumSum": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1, 2, 3, 4),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
"""Numbers of the inputs, by operator, that decide on shapes or on what is compiled."""

_SHAPE_ONLY = frozenset({"Shape", "Size"})
"""Operators for which only the shape of their input matters, which is always known."""


def deciding_inputs(model: onnx.ModelProto) -> list[str]:
    """Return the names of a model's inputs from which deciding values are computed, in order."""
    needed = _needed(model.graph, set())
    return [value.name for value in model.graph.input if value.name in needed]


def _needed(graph: onnx.GraphProto, wanted: Collection[str]) -> set[str]:
    """Return the names of values that have to be known in a graph, and around it.

    Args:
        graph: The graph, or the body of a loop.
        wanted: Its outputs that have to be known.
    """
    needed = set(wanted)
    for node in reversed(graph.node):
        if needed.intersection(node.output) and node.op_type not in _SHAPE_ONLY:
            needed.update(node.input)
        needed.update(
            node.input[number]
            for number in DECIDING.get(node.op_type, ())
            if number < len(node.input)
        )
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                needed |= _around(node, attribute.g, needed)
    return needed - {""}


def _around(node: onnx.NodeProto, body: onnx.GraphProto, needed: Collection[str]) -> set[str]:
    """Return the names that have to be known around a node for the sake of its body."""
    wanted = {inner.name for inner in body.output} if set(needed) & set(node.output) else set()
    inside = _needed(body, wanted)
    mine = [value.name for value in body.input]
    entering = {outer for inner, outer in zip(mine, node.input, strict=False) if inner in inside}
    made = {name for inner in body.node for name in inner.output}
    return entering | (inside - set(mine) - made)


def specialised(
    model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[Any]], names: Collection[str]
) -> onnx.ModelProto:
    """Return a model for inputs of these shapes, in which some inputs are constants.

    Args:
        model: The model, which is not changed.
        inputs: Values of its inputs, by name.
        names: Names of the inputs that become constants. Those without elements do in any case.

    Returns:
        The model, whose inputs are the others.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.input[:], result.graph.value_info[:]
    for value in model.graph.input:
        array = inputs[value.name]
        if value.name in names or array.size == 0:
            result.graph.initializer.append(numpy_helper.from_array(array, value.name))
            continue
        type_ = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        result.graph.input.append(
            onnx.helper.make_tensor_value_info(value.name, type_, array.shape)
        )
    return result


def small(array: npt.NDArray[Any]) -> bool:
    """Return whether a model may be specialised on a value."""
    return bool(np.size(array) <= LARGEST)
