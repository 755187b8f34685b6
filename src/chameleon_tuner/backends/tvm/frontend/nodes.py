"""The nodes of a graph one by one: a model of each kind of node, to try it alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import external_data_helper, helper

from chameleon_tuner.backends.tvm.frontend.cutting import (
    DTYPES,
    ValueType,
    identity,
    reads,
    types_of,
)

_SMALL = 64
"""Constants with at most so many elements are part of a node's kind; others by shape alone."""


@dataclass(frozen=True)
class Kind:
    """Nodes that differ in nothing but their names and large weights.

    Attributes:
        operator: Their operator.
        model: A model of the first of them; its inputs and outputs are the node's.
        names: What they are known by, see `cutting.identity`.
    """

    operator: str
    model: onnx.ModelProto = field(repr=False)
    names: tuple[str, ...]


def kinds_of(model: onnx.ModelProto, outside: Collection[str], folder: Path = Path()) -> list[Kind]:
    """Return the kinds of nodes whose values are tensors of known shapes.

    Args:
        model: A model from `preparation.simplified`.
        outside: Names of nodes that are left out.
        folder: Folder of the model's external weights.

    Returns:
        The kinds, in the order of their first nodes.
    """
    graph, types = model.graph, types_of(model.graph)
    weights = {tensor.name: tensor for tensor in graph.initializer}
    first: dict[bytes, onnx.ModelProto] = {}
    names: dict[bytes, list[str]] = {}
    for node in graph.node:
        used = [name for name in (*reads(node), *node.output) if name]
        if identity(node) in outside or not all(_known(types.get(name)) for name in used):
            continue
        alone = _alone(model, node, weights, types)
        key = _key(alone)
        first.setdefault(key, alone)
        names.setdefault(key, []).append(identity(node))
    return [
        Kind(alone.graph.node[0].op_type, _whole(alone, folder), tuple(names[key]))
        for key, alone in first.items()
    ]


def _whole(alone: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return a model that holds its weights."""
    external_data_helper.load_external_data_for_model(alone, str(folder))
    return alone


def _known(found: ValueType | None) -> bool:
    return found is not None and found.static and found.dtype in DTYPES


def _alone(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    weights: Mapping[str, onnx.TensorProto],
    types: Mapping[str, ValueType],
) -> onnx.ModelProto:
    def info(name: str) -> onnx.ValueInfoProto:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(types[name].dtype))
        return helper.make_tensor_value_info(name, dtype, types[name].shape)

    read = list(dict.fromkeys(reads(node)))
    graph = helper.make_graph(
        [node],
        "node",
        [info(name) for name in read if name not in weights],
        [info(name) for name in node.output if name],
        [weights[name] for name in read if name in weights],
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    alone.ir_version = model.ir_version
    return alone


def _key(alone: onnx.ModelProto) -> bytes:
    """Return what is the same for nodes of one kind."""
    like = onnx.ModelProto()
    like.CopyFrom(alone)
    graph, node = like.graph, like.graph.node[0]
    numbers: dict[str, str] = {"": ""}
    for name in (*node.input, *node.output):
        numbers.setdefault(name, f"v{len(numbers)}")
    for values in (node.input, node.output):
        values[:] = [numbers[name] for name in values]
    for value in (*graph.input, *graph.output):
        value.name = numbers.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = numbers.get(tensor.name, tensor.name)
        extents = 1
        for extent in tensor.dims:
            extents *= extent
        if extents > _SMALL:
            tensor.ClearField("raw_data")
            del tensor.external_data[:]
    node.name = ""
    return bytes(like.SerializeToString(deterministic=True))
