"""What the graph of a model tells of the integers that its inputs may have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from chameleon_tuner.backends.tvm.frontend.reading import dtype_of
from chameleon_tuner.backends.tvm.frontend.tensors import Range

_CARRYING = frozenset(
    {
        "Cast",
        "Expand",
        "Flatten",
        "Identity",
        "Reshape",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose output has the values of their first input."""

_INDEXING: Mapping[str, int] = {
    "Gather": 1,
    "GatherElements": 1,
    "ScatterElements": 1,
    "GatherND": 1,
    "ScatterND": 1,
}
"""Operators that look their input of this number up in their first input."""


def ranges_of(model: onnx.ModelProto) -> dict[str, Range]:
    """Return the ranges of a model's integer inputs that its graph tells.

    An index into a table lies in the table, and a divisor is not zero.

    Args:
        model: A model from `preparation.simplified`.
    """
    graph = _Graph(model.graph)
    found = {}
    for value in model.graph.input:
        dtype = dtype_of(value.type.tensor_type.elem_type)
        if dtype is not None and np.dtype(dtype).kind in "iu":
            limits = list(graph.limits(value.name, 0, 0))
            if limits:
                low = max(low for low, _ in limits)
                found[value.name] = Range(low, max(low, min(high for _, high in limits)))
    return found


class _Graph:
    """Who consumes what, and the extents of tables."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._consumers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
        for node in graph.node:
            for number, name in enumerate(node.input):
                self._consumers[name].append((node, number))
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        for value in (*graph.input, *graph.value_info):
            dims = value.type.tensor_type.shape.dim
            self._shapes[value.name] = [int(dim.dim_value) for dim in dims]

    def limits(self, name: str, added: int, depth: int) -> Iterator[tuple[int, int]]:
        """Yield the lowest and highest value that every use of an input leaves it.

        Args:
            name: A value that the input becomes.
            added: What was added to the input on the way.
            depth: Number of operators on the way.

        Yields:
            The ends of a range that one use allows.
        """
        for node, number in self._consumers[name] if depth < 16 else ():
            if _INDEXING.get(node.op_type) == number:
                yield -added, self._entries(node) - 1 - added
            elif node.op_type in ("Div", "Mod") and number == 1:
                yield 1 - added, 2**15
            elif node.op_type in _CARRYING and number == 0:
                yield from self.limits(node.output[0], added, depth + 1)
            elif node.op_type == "Add" and (constant := self._scalar(node.input[1 - number])):
                yield from self.limits(node.output[0], added + constant, depth + 1)

    def _entries(self, node: onnx.NodeProto) -> int:
        shape = self._shapes.get(node.input[0]) or [1]
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        extents = shape if node.op_type.endswith("ND") else shape[axis : axis + 1 or None]
        return max(1, min(extents, default=1))

    def _scalar(self, name: str) -> int | None:
        tensor = self._constants.get(name)
        if tensor is None or np.prod(tensor.dims) != 1:
            return None
        return int(numpy_helper.to_array(tensor).item())
