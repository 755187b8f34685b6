"""Converters of ONNX operators to Relax by family, in place of TVM's or for what it lacks.

A converter takes a node whose inputs have static shapes. It is written as a rule, a function from a
`base.Node` to expressions, in the operators of Relax, which fuse and are tuned; only what sorts or
writes at given places is a kernel of its own. What is constant is evaluated when it is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm.relax.frontend.onnx import onnx_frontend

from chameleon_tuner.backends.tvm.frontend.converters import (
    activation,
    casting,
    control,
    convolution,
    elementwise,
    indexing,
    minifloat,
    normalisation,
    pooling,
    products,
    quantisation,
    recurrent,
    reduction,
    resizing,
    shape,
    spectral,
)
from chameleon_tuner.backends.tvm.frontend.converters.base import Converter, Node, Rule

_FAMILIES = (
    activation,
    casting,
    convolution,
    elementwise,
    indexing,
    minifloat,
    normalisation,
    pooling,
    products,
    quantisation,
    recurrent,
    reduction,
    resizing,
    shape,
    spectral,
)

_EXPANDED = frozenset({"AffineGrid", "Attention"})
"""Operators that are not converted as TVM does it, but as the functions that define them."""

_CONSTANT = ("MelWeightMatrix", "NonMaxSuppression")
"""Operators that are evaluated where their inputs are constant. Otherwise the shape of what they
return depends on the data."""


def _roi_align(node: Node) -> Any:
    """Convert RoiAlign as TVM does it, whose maximum is of other numbers than ONNX's."""
    if node.text("mode", "avg") != "avg":
        raise ValueError("its mode is not the average")
    return _of_tvm(onnx_frontend.RoiAlign)(node)


def _refuse(node: Node) -> Any:
    raise ValueError("its shape depends on the data")


def _of_tvm(converter: Any) -> Rule:
    """Return the rule that a converter of TVM's is."""

    def rule(node: Node) -> Any:
        inputs = onnx_frontend.onnx_input(node.inputs)
        custom = {"tvm_custom": {"name": "", "num_outputs": node.outputs}}
        convert = converter.get_converter(node.opset)
        return convert(node.builder, inputs, {**node.attributes, **custom}, node.scope)

    return rule


def _rules() -> dict[str, Rule]:
    rules = {
        name: _of_tvm(converter)
        for name, converter in onnx_frontend._get_convert_map().items()
        if name not in _EXPANDED
    }
    rules.update(dict.fromkeys(_CONSTANT, _refuse), RoiAlign=_roi_align)
    for family in _FAMILIES:
        rules.update(family.RULES)
    return rules


def _all() -> dict[str, Converter]:
    found: dict[str, Converter] = {}
    rules = {**_rules(), **control.rules(found)}
    found.update({name: Converter(name, rule) for name, rule in rules.items()})
    return found


CONVERTERS: Mapping[str, Converter] = _all()
"""All converters by operator, in the form that TVM's importer wants."""
