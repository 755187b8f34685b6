"""What all converters share: the node that is converted, and the protocol of TVM's importer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import relax

from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Array,
    Expr,
    axis_of,
    const,
    constant,
    dtype_of,
    extents_of,
    shape_of,
)
from chameleon_tuner.backends.tvm.frontend.converters.folding import folded
from chameleon_tuner.backends.tvm.frontend.converters.kernels import call_kernel

_op: Any = relax.op


@dataclass(frozen=True)
class Node:
    """An ONNX node under conversion.

    Attributes:
        operator: Its operator.
        opset: Version of the model's operator set.
        builder: The builder of the function.
        inputs: Its inputs; None for one that is left out.
        attributes: Its attributes by name; strings are bytes.
        outputs: Number of its outputs.
        scope: What TVM's importer hands to converters: its values by name, and its parameters.
    """

    operator: str
    opset: int
    builder: Any
    inputs: Sequence[Expr | None]
    attributes: Mapping[str, Any]
    outputs: int
    scope: Any

    @property
    def x(self) -> Expr:
        """The first input."""
        return self.inputs[0]

    def input(self, number: int) -> Expr | None:
        """Return an input; None if it is left out."""
        return self.inputs[number] if number < len(self.inputs) else None

    def emit(self, expression: Expr) -> Expr:
        """Bind an expression to a variable, which knows its shape and dtype."""
        return self.builder.emit(expression)

    def value(self, number: int) -> Array | None:
        """Return the value of an input that has to be constant; None if it is left out.

        Raises:
            ValueError: The input is not constant.
        """
        given = self.input(number)
        if given is None:
            return None
        found = constant(given)
        if found is None:
            raise ValueError(f"input {number} has to be constant")
        return found

    def integers(self, number: int, name: str = "") -> list[int] | None:
        """Return a list of integers that is an input, or an attribute in older operator sets.

        Args:
            number: Number of the input.
            name: Name of the attribute.

        Returns:
            The integers; None if neither is given.
        """
        if self.input(number) is None:
            found = self.attributes.get(name) if name else None
            return None if found is None else [int(value) for value in found]
        return [int(value) for value in np.atleast_1d(_known(self.value(number))).tolist()]

    def text(self, name: str, default: str = "") -> str:
        """Return an attribute that is a string."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def tensor_te(self, compute: Callable[..., Any], *arguments: Any, **options: Any) -> Expr:
        """Bind the result of a tensor expression to a variable.

        Args:
            compute: Makes the expression.
            arguments: Its arguments; expressions become tensors.
            options: See `BlockBuilder.emit_te` of Relax.

        Returns:
            The variable.
        """
        return self.builder.emit_te(compute, *arguments, **options)

    def kernel(self, compute: Callable[..., Any], *arguments: Any, name: str) -> Expr:
        """Bind the result of a kernel of its own to a variable, see `kernels.call_kernel`.

        Args:
            compute: Makes the kernel.
            arguments: Its arguments; expressions become tensors.
            name: Name of the kernel.

        Returns:
            The variable.
        """
        return call_kernel(self.builder, compute, arguments, name)


Rule = Callable[[Node], Any]
"""Converts a node; returns an expression for each output, or one for the only output."""


def _known(value: Array | None) -> Array:
    assert value is not None  # noqa: S101 - for the type checker
    return value


class Converter:
    """A rule in the form that TVM's importer wants.

    What is constant is evaluated, and what has no elements becomes a constant: TVM compiles no
    kernels for it.

    Args:
        operator: The ONNX operator.
        rule: How a node is converted.
    """

    def __init__(self, operator: str, rule: Rule) -> None:
        self._operator, self._rule = operator, rule

    def get_converter(self, opset: int) -> Callable[..., Expr]:
        """Return the function that converts nodes of an operator set."""
        return functools.partial(self._of_importer, opset)

    def _of_importer(
        self, opset: int, builder: Any, inputs: Any, attributes: Any, scope: Any
    ) -> Expr:
        """Convert a node as TVM's importer hands it over."""
        given = {name: value for name, value in attributes.items() if name != "tvm_custom"}
        outputs = int(attributes.get("tvm_custom", {}).get("num_outputs", 1))
        node = Node(self._operator, opset, builder, list(inputs), given, outputs, scope)
        return self._convert(node)

    def _convert(self, node: Node) -> Expr:
        values = [None if given is None else constant(given) for given in node.inputs]
        if all(v is not None or i is None for v, i in zip(values, node.inputs, strict=True)):
            found = folded(node.operator, node.opset, values, node.attributes, node.outputs)
            if found is not None:
                return _one_or_tuple([const(array) for array in found])
        results = self._rule(node)
        several = isinstance(results, list | tuple)
        return _one_or_tuple(
            [_settled(node, result) for result in (results if several else [results])]
        )


def _one_or_tuple(results: Sequence[Expr]) -> Expr:
    return results[0] if len(results) == 1 else relax.Tuple(list(results))


def _settled(node: Node, result: Expr) -> Expr:
    """Return a result whose shape and dtype are known; a constant if it has no elements."""
    if not isinstance(result, relax.Expr) or constant(result) is not None:
        return result
    if not isinstance(result, relax.Var | relax.Tuple | relax.ShapeExpr):
        result = node.emit(result)
    extents = extents_of(result)
    if extents is None or 0 not in extents:
        return result
    return const(np.zeros(extents, dtype_of(result)))


# -- expressions of nodes


def stacked(node: Node, parts: Sequence[Expr], axis: int) -> Expr:
    """Return tensors side by side along a new axis.

    TVM's own operator fails where layouts are converted.

    Args:
        node: The node under conversion.
        parts: The tensors, of the same shape.
        axis: Number of the new axis.

    Returns:
        A tensor of one axis more.
    """
    axis = axis_of(axis, len(shape_of(parts[0])) + 1)
    wide = [node.emit(_op.expand_dims(part, axis)) for part in parts]
    return node.emit(_op.concat(wide, axis)) if len(wide) > 1 else wide[0]


# -- half precision: numbers are read and written in it, and computed in float32

_HALF = ("float16", "bfloat16")


def widened(node: Node, data: Expr) -> Expr:
    """Return a tensor in which sums are precise: float32 in place of half precision."""
    return node.emit(_op.astype(data, "float32")) if dtype_of(data) in _HALF else data


def narrowed(node: Node, data: Expr, dtype: str) -> Expr:
    """Return a result in the dtype of what it was computed from.

    Args:
        node: The node under conversion.
        data: The result.
        dtype: The dtype.

    Returns:
        The result.
    """
    return data if dtype_of(data) == dtype else node.emit(_op.astype(data, dtype))
