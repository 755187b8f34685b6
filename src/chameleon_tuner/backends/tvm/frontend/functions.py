"""ONNX functions, a model's own and those that the standard gives operators, put in their place."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import onnx
from onnx import defs, inliner, shape_inference

_DOMAIN = "chameleon.functions"
_ROUNDS = 8
"""Functions call functions; the standard's are at most four deep."""


def inlined(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Replace calls of functions by the nodes of their bodies.

    The functions of the standard are expanded with the types of their inputs, which follow from
    those of the model's inputs.

    Args:
        model: The model, which is not changed.
        kept: Operators that stay, although the standard gives a function for them.

    Returns:
        The model without its own functions, and without others that can be expanded.
    """
    model = inliner.inline_local_functions(model) if model.functions else _copy(model)
    for _ in range(_ROUNDS):
        if not any(_is_function(node, kept) for node in model.graph.node):
            break
        if not _call_bodies(model, kept):
            break
        model = inliner.inline_local_functions(model)
    return model


def expanded(model: onnx.ModelProto, kept: Collection[str]) -> onnx.ModelProto:
    """Return a model in which operators are expanded that the standard defines by others.

    Args:
        model: The model, which is not changed.
        kept: Operators that stay.

    Returns:
        The model; the very same where nothing can be expanded.
    """
    if not any(_is_function(node, kept) for node in model.graph.node):
        return model
    try:
        return inlined(model, kept)
    except Exception:  # whatever a third party's code raises: they run in another runtime then
        return model


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _is_function(node: onnx.NodeProto, kept: Collection[str]) -> bool:
    if node.op_type in kept or node.domain == _DOMAIN:
        return False
    schema: Any
    try:
        schema = defs.get_schema(node.op_type, node.domain)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _call_bodies(model: onnx.ModelProto, kept: Collection[str]) -> bool:
    """Make the bodies of functions the model's own and let nodes call them; return if there are."""
    types = _types(model)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    bodies: list[onnx.FunctionProto] = []
    for node in model.graph.node:
        if not _is_function(node, kept):
            continue
        version = versions.get(node.domain, 1)
        _state_defaults(node, version)
        body = _body(node, version, types)
        if body is None:
            continue
        body.name, body.domain = f"{node.op_type}_{len(bodies)}", _DOMAIN
        for opset in body.opset_import:  # the standard's bodies are valid in later versions too
            opset.version = versions.setdefault(opset.domain, opset.version)
        bodies.append(body)
        node.op_type, node.domain = body.name, _DOMAIN
    versions[_DOMAIN] = 1
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*pair) for pair in versions.items())
    model.functions.extend(bodies)
    return bool(bodies)


def _state_defaults(node: onnx.NodeProto, opset: int) -> None:
    """Give a node the attributes that it leaves to their defaults: bodies refer to them."""
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in defs.get_schema(node.op_type, opset, node.domain).attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    types = {v.name: v.type for v in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return types


def _body(
    node: onnx.NodeProto, opset: int, types: dict[str, onnx.TypeProto]
) -> onnx.FunctionProto | None:
    """Return the body of a node's function; None if it depends on types that are not known."""
    schema: Any = defs.get_schema(node.op_type, opset, node.domain)
    data = b""
    if schema.has_function:
        data = schema.get_function_with_opset_version(
            _version(schema.function_opset_versions, opset)
        )
    elif schema.has_context_dependent_function:
        given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
        versions = schema.context_dependent_function_opset_versions
        data = schema.get_context_dependent_function_with_opset_version(
            _version(versions, opset), node.SerializeToString(), given
        )
    if not data:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(data)
    return body


def _version(versions: Collection[int], opset: int) -> int:
    """Return the newest version that a model of an operator set may use."""
    return max((version for version in versions if version <= opset), default=min(versions))
