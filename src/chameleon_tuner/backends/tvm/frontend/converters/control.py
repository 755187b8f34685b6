"""Converters of control flow whose course is known: loops are unrolled, branches are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import numpy_helper
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from chameleon_tuner.backends.tvm.frontend.converters.base import Converter, Node, Rule, stacked
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    axis_of,
    const,
    constant,
    shape_of,
)

_op: Any = relax.op

_MOST_ROUNDS = 64
"""Rounds of the longest loop that is unrolled."""

Converters = Mapping[str, Converter]


def _body(node: Node, converters: Converters, graph: Any, given: Sequence[Expr]) -> list[Expr]:
    """Convert the body of a node.

    Args:
        node: The node.
        converters: Converters by operator.
        graph: The body, an ONNX graph.
        given: Its inputs.

    Returns:
        Its outputs.

    Raises:
        ValueError: It contains an operator without a converter.
    """
    values = dict(node.scope[0])
    values.update({t.name: const(numpy_helper.to_array(t)) for t in graph.initializer})
    values.update(zip((value.name for value in graph.input), given, strict=True))
    for inner in graph.node:
        if inner.op_type not in converters:
            raise ValueError(f"its body has the operator {inner.op_type}")
        values.update(zip(inner.output, _outputs(node, converters, inner, values), strict=False))
    return [values[value.name] for value in graph.output]


def _outputs(
    node: Node, converters: Converters, inner: Any, values: Mapping[str, Expr]
) -> Iterator[Expr]:
    attributes = onnx_frontend.ONNXGraphImporter._parse_attr(None, inner.attribute)
    attributes["tvm_custom"] = {"name": inner.name, "num_outputs": len(inner.output)}
    inputs = onnx_frontend.onnx_input()
    inputs += [values[name] if name else None for name in inner.input]
    convert = converters[inner.op_type].get_converter(node.opset)
    found = convert(node.builder, inputs, attributes, [dict(values), {}])
    yield from found if isinstance(found, relax.Tuple) else [found]


def _known(value: Expr | None, what: str) -> Any:
    array = None if value is None else constant(value)
    if array is None:
        raise ValueError(f"{what} depends on the data")
    return array.reshape(-1)[0]


def _branch(node: Node, converters: Converters) -> list[Expr]:
    taken = "then_branch" if _known(node.x, "its condition") else "else_branch"
    return _body(node, converters, node.attributes[taken], [])


def _loop(node: Node, converters: Converters) -> list[Expr]:
    body = node.attributes["body"]
    limit = None if node.inputs[0] is None else int(_known(node.inputs[0], "its end"))
    going = node.input(1) is None or bool(_known(node.input(1), "its condition"))
    states = list(node.inputs[2:])
    rows: list[list[Expr]] = [[] for _ in body.output[1 + len(states) :]]
    count = 0
    while going and (limit is None or count < limit):
        if count == _MOST_ROUNDS:
            raise ValueError(f"it has more than {_MOST_ROUNDS} rounds")
        given = [const(np.int64(count)), const(np.asarray(True)), *states]
        condition, *found = _body(node, converters, body, given)
        going = bool(_known(condition, "its condition"))
        states = found[: len(states)]
        for row, value in zip(rows, found[len(states) :], strict=True):
            row.append(value)
        count += 1
    return [*states, *(_stacked(node, row, 0) for row in rows)]


def _stacked(node: Node, rows: Sequence[Expr], axis: int) -> Expr:
    if not rows:
        raise ValueError("it has no round")
    return stacked(node, list(rows), axis)


def _scan(node: Node, converters: Converters) -> list[Expr]:
    """Convert Scan; the one of opset 8 has a batch, and lengths of its sequences."""
    if node.opset < 9:
        return _batched_scan(node, converters)
    count = int(node.attributes["num_scan_inputs"])
    states, given = list(node.inputs[:-count]), list(node.inputs[-count:])
    axes = node.attributes.get("scan_input_axes") or [0] * count
    back = node.attributes.get("scan_input_directions") or [0] * count
    axes = [axis_of(a, len(shape_of(x))) for a, x in zip(axes, given, strict=True)]
    rounds = shape_of(given[0])[axes[0]]
    if rounds > _MOST_ROUNDS:
        raise ValueError(f"it has more than {_MOST_ROUNDS} rounds")
    body = node.attributes["body"]
    rows: list[list[Expr]] = [[] for _ in body.output[len(states) :]]
    for time in range(rounds):
        parts = [
            _slice(node, x, axis, rounds - 1 - time if reverse else time)
            for x, axis, reverse in zip(given, axes, back, strict=True)
        ]
        found = _body(node, converters, body, [*states, *parts])
        states = found[: len(states)]
        for row, value in zip(rows, found[len(states) :], strict=True):
            row.append(value)
    ends = node.attributes.get("scan_output_axes") or [0] * len(rows)
    order = node.attributes.get("scan_output_directions") or [0] * len(rows)
    sides = [
        _stacked(node, row[::-1] if reverse else row, axis_of(axis, len(shape_of(row[0])) + 1))
        for row, axis, reverse in zip(rows, ends, order, strict=True)
    ]
    return [*states, *sides]


def _batched_scan(node: Node, converters: Converters) -> list[Expr]:
    if node.inputs[0] is not None:
        raise ValueError("lengths of sequences are not supported")
    count = int(node.attributes["num_scan_inputs"])
    results: list[list[Expr]] = []
    for sample in range(shape_of(node.inputs[1])[0]):
        given = [_slice(node, x, 0, sample) for x in node.inputs[1:]]
        attributes = {"num_scan_inputs": count, "body": node.attributes["body"]}
        inner = Node("Scan", 9, node.builder, given, attributes, node.outputs, node.scope)
        results.append(_scan(inner, converters))
    return [_stacked(node, every, 0) for every in zip(*results, strict=True)]


def _slice(node: Node, data: Expr, axis: int, place: int) -> Expr:
    value = constant(data)
    if value is not None:
        return const(np.take(value, place, axis))
    return node.emit(_op.take(data, const(np.int64(place)), axis, mode="clip"))


def rules(converters: Converters) -> dict[str, Rule]:
    """Return the rules of control flow, whose bodies are converted by the given converters."""
    found: dict[str, Callable[[Node, Converters], list[Expr]]] = {
        "If": _branch,
        "Loop": _loop,
        "Scan": _scan,
    }
    return {name: _with(converters, convert) for name, convert in found.items()}


def _with(converters: Converters, convert: Callable[[Node, Converters], list[Expr]]) -> Rule:
    return lambda node: convert(node, converters)
