"""The import of ONNX graphs as Relax modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import onnx
import tvm
from onnx import external_data_helper, numpy_helper
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.frontend.onnx import onnx_frontend

from chameleon_tuner.backends.tvm.frontend.converters import CONVERTERS
from chameleon_tuner.backends.tvm.frontend.cutting import PART, Cut, Part, identity
from chameleon_tuner.backends.tvm.frontend.reading import STANDARD
from chameleon_tuner.backends.tvm.patches import onnx_converters
from chameleon_tuner.core.errors import ModelError, last_line

CALLED = "chameleon.part."
"""Prefix of the name by which a compiled model calls a part."""


class NodeRefusedError(ModelError):
    """TVM's importer refuses a node.

    Attributes:
        node: What the node is known by, see `cutting.identity`.
        reason: Why.
    """

    def __init__(self, node: onnx.NodeProto, reason: str) -> None:
        named = f" ({node.name})" if node.name else ""
        super().__init__(
            f"TVM does not import {node.op_type}{named}: {reason}; replace it in the model"
        )
        self.node = identity(node)
        self.reason = f"{node.op_type} is refused: {reason}"


def convertible() -> frozenset[str]:
    """Return the ONNX operators that can be converted."""
    return frozenset(CONVERTERS)


def convert(graph: Cut) -> IRModule:
    """Convert a cut graph to a Relax module whose `main` takes the inputs and holds the weights.

    Args:
        graph: The graph, whose inputs have static shapes. Its parts become calls by name.

    Returns:
        The module.

    Raises:
        NodeRefusedError: TVM does not take a node.
    """
    versions = [o.version for o in graph.model.opset_import if o.domain in STANDARD]
    importer = _Importer(graph)
    with warnings.catch_warnings(), onnx_converters(CONVERTERS):
        warnings.simplefilter("ignore")  # the importer warns about its own internals
        return importer.from_onnx(graph.model.graph, max(versions, default=1))


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]  # TVM has no types
    """TVM's importer, which knows parts and says which node it refuses."""

    def __init__(self, graph: Cut) -> None:
        super().__init__({}, "float32")
        self._parts, self._folder = graph.parts, str(graph.folder)

    def _parse_array(self, tensor_proto: onnx.TensorProto) -> Any:
        """Return a weight, which may be external data."""
        if not external_data_helper.uses_external_data(tensor_proto):
            return super()._parse_array(tensor_proto)
        return tvm.runtime.tensor(numpy_helper.to_array(tensor_proto, base_dir=self._folder))

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        """Refuse no graph as a whole: nodes are refused one by one."""

    def _construct_nodes(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            _told.get()(node)
            try:
                results = list(self._results(node))
                if len(results) < sum(bool(name) for name in node.output):
                    raise ValueError("it has fewer outputs than the node")
            except Exception as error:
                raise NodeRefusedError(node, last_line(error)) from None
            self._nodes.update(zip(node.output, results, strict=False))

    def _results(self, node: onnx.NodeProto) -> Iterator[Any]:
        """Yield the outputs of a node."""
        attributes = self._parse_attr(node.attribute)
        inputs = onnx_frontend.onnx_input()
        inputs += [self._nodes[name] if name else None for name in node.input]
        if node.op_type == PART:
            part = self._parts[attributes["part"].decode()]
            result = self.bb.emit(_call(part, list(inputs)))
        else:
            attributes["tvm_custom"] = {"name": node.name, "num_outputs": len(node.output)}
            result = self._convert_operator(node.op_type, inputs, attributes, self.opset)
        if isinstance(result, relax.Tuple):
            yield from result
        elif isinstance(result.ty, relax.TupleType):
            for number in range(len(result.ty.fields)):
                yield self.bb.emit(relax.TupleGetItem(result, number))
        else:
            yield result


_told: ContextVar[Callable[[onnx.NodeProto], None]] = ContextVar("told", default=lambda node: None)


@contextmanager
def telling(note: Callable[[onnx.NodeProto], None]) -> Iterator[None]:
    """Call a function with every node before it is converted: it may end the process."""
    token = _told.set(note)
    try:
        yield
    finally:
        _told.reset(token)


def _call(part: Part, inputs: list[Any]) -> Any:
    """Return the call of a part.

    A part whose outputs have known shapes writes them to where the caller wants them; another one
    returns new tensors.
    """
    name, types = f"{CALLED}{part.name}", [found for _, found in part.outputs]
    if all(found.static for found in types):
        wanted = [relax.TensorType(list(found.shape or ()), found.dtype) for found in types]
        return relax.op.call_dps_packed(name, relax.Tuple(inputs), wanted)
    fields = [
        relax.TensorType(dtype=found.dtype, ndim=-1 if found.shape is None else len(found.shape))
        for found in types
    ]
    returned = fields[0] if len(fields) == 1 else relax.TupleType(fields)
    return relax.op.call_pure_packed(name, *inputs, ty_args=returned)
