"""Dtypes that TVM does not compute in: floats of 4 and 8 bits, integers of 2 and 4 bits.

A model holds and moves them as bytes: floats as their bits, integers as their values. Computing is
left to three operators, which convert from them and to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from chameleon_tuner.core.errors import ModelError

Array = npt.NDArray[Any]

DECODE, ENCODE = "ChameleonDecode", "ChameleonEncode"
"""Operators from the bits of a narrow float to float32, and back."""

FORMAT = "chameleon_format"
"""Attribute that names the narrow dtype."""


def _known(names: Mapping[str, str]) -> dict[int, str]:
    """Return dtypes by ONNX's number, of those that this version of ONNX has."""
    return {getattr(TensorProto, n): dtype for n, dtype in names.items() if hasattr(TensorProto, n)}


FLOATS = _known(
    {
        "FLOAT8E4M3FN": "float8_e4m3fn",
        "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
        "FLOAT8E5M2": "float8_e5m2",
        "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
        "FLOAT8E8M0": "float8_e8m0fnu",
        "FLOAT4E2M1": "float4_e2m1fn",
    }
)
INTEGERS = _known({"INT4": "int4", "UINT4": "uint4", "INT2": "int2", "UINT2": "uint2"})
_NAMES: Mapping[int, str] = {**FLOATS, **INTEGERS}

_MOVING = frozenset(
    [
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Pad",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Operators that do not look at the elements."""


def carrier(name: str) -> str:
    """Return the dtype that holds a narrow one."""
    return "int8" if name.startswith("int") else "uint8"


def carried(array: Array) -> Array:
    """Return an array of a narrow dtype as bytes; others stay as they are."""
    name = array.dtype.name
    if name in FLOATS.values():
        return array.view(np.uint8)
    return array.astype(carrier(name)) if name in INTEGERS.values() else array


def restored(array: Array, element: int) -> Array:
    """Return an output in the dtype that the model has for it."""
    name = _NAMES.get(element)
    if name is None:
        return array
    dtype = np.dtype(getattr(ml_dtypes, name))
    return array.view(dtype) if element in FLOATS else array.astype(dtype)


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that holds narrow dtypes as bytes.

    Args:
        model: The model, which is not changed.

    Raises:
        ModelError: An operator computes in a narrow dtype.
    """
    types = _element_types(model)
    if not set(types.values()) & set(_NAMES):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.value_info[:]
    for value in (*result.graph.input, *result.graph.output):
        tensor = value.type.tensor_type
        tensor.elem_type = _wide(tensor.elem_type)
    for tensor in result.graph.initializer:
        if tensor.data_type in _NAMES:
            wide = carried(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for node in model.graph.node:
        result.graph.node.extend(_translated(node, types))
    return result


def _wide(element: int) -> int:
    if element not in _NAMES:
        return element
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(carrier(_NAMES[element]))))


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    return found


def _translated(node: onnx.NodeProto, types: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    """Yield what stands for a node."""
    mine = [types.get(name, 0) for name in (*node.input, *node.output)]
    if not set(mine) & set(_NAMES) or node.op_type in _MOVING:
        yield node
    elif node.op_type in ("Cast", "CastLike"):
        yield from _cast(node, types)
    elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        yield from _quantised(node, types)
    else:
        name = next(_NAMES[element] for element in mine if element in _NAMES)
        raise ModelError(f"TVM does not compute {node.op_type} in {name}; use a wider dtype")


def _cast(node: onnx.NodeProto, types: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    source, wanted = types[node.input[0]], types[node.output[0]]
    given, result = node.input[0], node.output[0]
    options = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name != "to"}
    if source in FLOATS:
        given, read = f"{result}/decoded", given
        yield helper.make_node(DECODE, [read], [given], **{FORMAT: FLOATS[source]})
    if wanted in FLOATS:
        single = f"{result}/single"
        yield helper.make_node("Cast", [given], [single], to=TensorProto.FLOAT)
        options[FORMAT] = FLOATS[wanted]
        yield helper.make_node(ENCODE, [single], [result], **options)
    elif wanted in INTEGERS:
        yield helper.make_node(ENCODE, [given], [result], **{FORMAT: INTEGERS[wanted]})
    else:
        yield helper.make_node("Cast", [given], [result], to=wanted)


def _quantised(node: onnx.NodeProto, types: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
    """Yield a quantisation that takes and returns bytes."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    narrow = types[node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]]
    kept = [a for a in node.attribute if a.name != "output_dtype" or a.i not in _NAMES]
    del changed.attribute[:]
    changed.attribute.extend([*kept, helper.make_attribute(FORMAT, _NAMES[narrow])])
    if narrow in FLOATS:
        for number in (0, 2) if node.op_type == "DequantizeLinear" else (2,):
            if number < len(node.input) and node.input[number]:
                changed.input[number] = f"{node.output[0]}/decoded{number}"
                yield helper.make_node(
                    DECODE,
                    [node.input[number]],
                    [changed.input[number]],
                    **{FORMAT: FLOATS[narrow]},
                )
    yield changed
