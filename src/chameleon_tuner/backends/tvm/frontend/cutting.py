"""The cut of a graph into what TVM compiles and the parts that run in onnxruntime."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TypeProto, external_data_helper, helper

from chameleon_tuner.backends.tvm.frontend.reading import STANDARD, dtype_of, extent_of

PART = "ChameleonPart"
"""Operator that stands for a part in a cut graph; its attribute `part` names it."""

HEAVY = frozenset(
    {"Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "AveragePool", "MaxPool", "Attention"}
)
"""Operators that are worth a kernel of their own. What has none of them between two parts is moved
into the parts: another crossing of the border costs more than its work."""

_RANDOM = "random numbers are onnxruntime's"
_RECURRENT = "recurrent operators run in onnxruntime: a step is too little work for kernels"
_BYTES = "products of 8-bit integers run in onnxruntime: TVM has no instructions for them here"

_LEFT: Mapping[str, str] = {
    "Bernoulli": _RANDOM,
    "Multinomial": _RANDOM,
    "RandomNormal": _RANDOM,
    "RandomNormalLike": _RANDOM,
    "RandomUniform": _RANDOM,
    "RandomUniformLike": _RANDOM,
    "GRU": _RECURRENT,
    "LSTM": _RECURRENT,
    "RNN": _RECURRENT,
    "ConvInteger": _BYTES,
    "MatMulInteger": _BYTES,
    "QLinearConv": _BYTES,
    "QLinearMatMul": _BYTES,
}
"""Operators that stay with onnxruntime although some could be imported, and why."""

DTYPES = frozenset(
    {
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    }
)
"""Dtypes that TVM's kernels compute in."""

_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)

EVERYTHING = "*"
"""In place of a node's name: all nodes."""


@dataclass(frozen=True)
class ValueType:
    """What is known of a value: its dtype and its extents, None for what is not."""

    dtype: str | None
    shape: tuple[int | None, ...] | None

    @property
    def static(self) -> bool:
        """Whether it is a tensor of numbers of known shape."""
        return self.dtype is not None and self.shape is not None and None not in self.shape


@dataclass(frozen=True)
class Part:
    """Nodes that run in onnxruntime, as a model of their own.

    Attributes:
        name: Name of the part, a hash of its content.
        model: The part with its weights.
        inputs: Names of its inputs in the graph.
        outputs: Names and types of its outputs.
        operators: Its operators, for people.
        nodes: What its nodes are known by, see `identity`.
    """

    name: str
    model: onnx.ModelProto = field(repr=False)
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, ValueType], ...]
    operators: tuple[str, ...]
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cut:
    """A graph whose parts for onnxruntime are single nodes.

    Attributes:
        model: The graph; a part is a node with the operator `PART`.
        parts: The parts, by name.
        outside: Why nodes are in parts, by the name of their first output.
        folder: Folder of the graph's external weights.
    """

    model: onnx.ModelProto = field(repr=False)
    parts: Mapping[str, Part]
    outside: Mapping[str, str]
    folder: Path = Path()

    @property
    def inside(self) -> int:
        """Number of nodes that TVM compiles."""
        return sum(node.op_type != PART for node in self.model.graph.node)


def identity(node: onnx.NodeProto) -> str:
    """Return what a node is known by: the name of its first output that has one."""
    return next((name for name in node.output if name), "")


def types_of(graph: onnx.GraphProto) -> dict[str, ValueType]:
    """Return what is known of the values of a graph, by name."""
    values = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name: _type_of(value.type) for value in values}
    for tensor in graph.initializer:
        found[tensor.name] = ValueType(dtype_of(tensor.data_type), tuple(tensor.dims))
    return found


def _type_of(type_: TypeProto) -> ValueType:
    if type_.WhichOneof("value") != "tensor_type":
        return ValueType(None, None)
    tensor = type_.tensor_type
    shape = tuple(extent_of(d) for d in tensor.shape.dim) if tensor.HasField("shape") else None
    return ValueType(dtype_of(tensor.elem_type), shape)


def cut(
    model: onnx.ModelProto,
    outside: Mapping[str, str],
    convertible: Collection[str],
    folder: Path = Path(),
) -> Cut:
    """Cut a graph into as few parts as possible.

    Args:
        model: A graph from `preparation.simplified`.
        outside: Reasons of nodes that TVM does not take, by the name of their first output.
        convertible: Operators that the importer has a converter for.
        folder: Folder of the model's external weights.

    Returns:
        The graph with a single node for every part.
    """
    nodes, types = list(model.graph.node), types_of(model.graph)
    reasons = dict(outside)
    if EVERYTHING in reasons:
        reasons |= {identity(node): reasons[EVERYTHING] for node in nodes}
    for node in nodes:
        if identity(node) not in reasons and (reason := _refused(node, types, convertible)):
            reasons[identity(node)] = reason
    graph = _Graph(nodes)
    apart = {number for number, node in enumerate(nodes) if identity(node) in reasons}
    apart |= graph.light_neighbours(apart)
    stages = graph.stages(apart)
    while crossed := graph.untensored(apart, stages, types):
        apart |= crossed
        stages = graph.stages(apart)
    members: dict[int, list[int]] = defaultdict(list)
    for number in sorted(apart):
        members[stages[number]].append(number)
    parts = {stage: _part(model, mine, types, folder) for stage, mine in members.items()}
    replaced = _with_parts(model, apart, stages, parts)
    return Cut(replaced, {part.name: part for part in parts.values()}, reasons, folder)


def _refused(
    node: onnx.NodeProto, types: Mapping[str, ValueType], convertible: Collection[str]
) -> str:
    """Return why TVM is not asked for a node; empty if it is."""
    if node.domain not in STANDARD:
        return f"operators of {node.domain} are onnxruntime's"
    if node.op_type in _LEFT:
        return _LEFT[node.op_type]
    if any(a.type in _GRAPHS for a in node.attribute):
        return "branches and loops run in onnxruntime"
    if node.op_type not in convertible:
        return f"TVM does not import {node.op_type}"
    for name in filter(None, (*node.input, *node.output)):
        found = types.get(name, ValueType(None, None))
        if not found.static:
            return "the shape of a value depends on the data"
        if found.dtype not in DTYPES:
            return f"TVM does not compute in {found.dtype}"
    return ""


class _Graph:
    """Who produces and who consumes what, by number of the node."""

    def __init__(self, nodes: Sequence[onnx.NodeProto]) -> None:
        self._nodes = nodes
        self._producer = {name: n for n, node in enumerate(nodes) for name in node.output if name}
        self._before: list[list[int]] = []
        self._after: dict[int, list[int]] = defaultdict(list)
        for number, node in enumerate(nodes):
            before = {self._producer[n] for n in reads(node) if n in self._producer}
            self._before.append(sorted(before))
            for other in before:
                self._after[other].append(number)

    def light_neighbours(self, apart: Collection[int]) -> set[int]:
        """Return connected nodes without heavy work that lie at a part."""
        moved: set[int] = set()
        seen = set(apart)
        for start in range(len(self._nodes)):
            if start in seen:
                continue
            together, border = {start}, [start]
            while border:
                number = border.pop()
                for other in (*self._before[number], *self._after[number]):
                    if other not in together and other not in apart:
                        together.add(other)
                        border.append(other)
            seen |= together
            heavy = any(self._nodes[number].op_type in HEAVY for number in together)
            at_part = any(
                other in apart for n in together for other in (*self._before[n], *self._after[n])
            )
            if at_part and not heavy:
                moved |= together
        return moved

    def stages(self, apart: Collection[int]) -> list[int]:
        """Return the stage of every node: even in TVM, odd in onnxruntime.

        What runs in onnxruntime in the same stage is one part. The number of stages is the least
        possible: a value enters a new one only where it crosses the border.
        """
        stages: list[int] = []
        for number, before in enumerate(self._before):
            mine = number in apart
            reached = [stages[other] + ((other in apart) != mine) for other in before]
            stages.append(max([int(mine), *reached]))
        return stages

    def untensored(
        self, apart: Collection[int], stages: Sequence[int], types: Mapping[str, ValueType]
    ) -> set[int]:
        """Return nodes that have to join parts because no tensor leads over the border there.

        Args:
            apart: Numbers of the nodes in parts.
            stages: The stage of every node.
            types: What is known of values, by name.

        Returns:
            Numbers of nodes that are in no part yet.
        """
        wanted: set[int] = set()
        for number, node in enumerate(self._nodes):
            for name in reads(node):
                producer = self._producer.get(name)
                if producer is None or stages[producer] == stages[number]:
                    continue
                if types.get(name, ValueType(None, None)).dtype is None:
                    first, last = stages[producer], stages[number]
                    wanted |= {n for n, stage in enumerate(stages) if first <= stage <= last}
        return wanted - set(apart)


def reads(node: onnx.NodeProto) -> list[str]:
    """Return the names of values that a node reads, also from within its subgraphs."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names += _free(graph)
    return names


def _free(graph: onnx.GraphProto) -> list[str]:
    """Return the names that a subgraph reads from around it."""
    mine = {value.name for value in graph.input} | {t.name for t in graph.initializer}
    found: list[str] = []
    for node in graph.node:
        found += [name for name in reads(node) if name not in mine]
        mine.update(node.output)
    return [*found, *(value.name for value in graph.output if value.name not in mine)]


# -- the parts as models


def _with_parts(
    model: onnx.ModelProto,
    apart: Collection[int],
    stages: Sequence[int],
    parts: Mapping[int, Part],
) -> onnx.ModelProto:
    nodes = list(model.graph.node)
    # Stable, and no value is read before its stage.
    order = sorted(range(len(nodes)), key=lambda number: stages[number])
    kept: list[onnx.NodeProto] = []
    placed: set[int] = set()
    for number in order:
        stage = stages[number]
        if number not in apart:
            kept.append(nodes[number])
        elif stage not in placed:
            placed.add(stage)
            kept.append(_stand_in(parts[stage]))
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    used |= {value.name for value in result.graph.output}
    _keep_initializers(result.graph, used)
    return result


def _stand_in(part: Part) -> onnx.NodeProto:
    outputs = [name for name, _ in part.outputs]
    return helper.make_node(PART, list(part.inputs), outputs, part=part.name, domain="chameleon")


def _keep_initializers(graph: onnx.GraphProto, names: Collection[str]) -> None:
    for number in reversed(range(len(graph.initializer))):
        if graph.initializer[number].name not in names:
            del graph.initializer[number]


def _part(
    model: onnx.ModelProto, members: Sequence[int], types: Mapping[str, ValueType], folder: Path
) -> Part:
    nodes = [model.graph.node[number] for number in members]
    weights = {tensor.name for tensor in model.graph.initializer}
    made = {name for node in nodes for name in node.output if name}
    read = list(dict.fromkeys(name for node in nodes for name in reads(node)))
    inputs = [name for name in read if name not in made and name not in weights]
    mine = set(members)
    wanted = {value.name for value in model.graph.output}
    for number, node in enumerate(model.graph.node):
        if number not in mine:
            wanted.update(reads(node))
    outputs = [name for node in nodes for name in node.output if name and name in wanted]
    graph = helper.make_graph(
        nodes,
        "part",
        [_info(model.graph, name) for name in inputs],
        [_info(model.graph, name) for name in outputs],
        [tensor for tensor in model.graph.initializer if tensor.name in read],
    )
    part = helper.make_model(graph, opset_imports=_domains(model, nodes))
    part.ir_version = model.ir_version
    external_data_helper.load_external_data_for_model(part, str(folder))  # in subgraphs, too
    content = part.SerializeToString(deterministic=True)
    return Part(
        hashlib.sha256(content).hexdigest()[:16],
        part,
        tuple(inputs),
        tuple((name, types.get(name, ValueType(None, None))) for name in outputs),
        tuple(node.op_type for node in nodes),
        tuple(identity(node) for node in nodes),
    )


def _domains(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]
) -> list[onnx.OperatorSetIdProto]:
    used = {node.domain if node.domain not in STANDARD else "" for node in _all_nodes(nodes)} | {""}
    return [o for o in model.opset_import if (o.domain if o.domain not in STANDARD else "") in used]


def _all_nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _all_nodes(graph.node)


def _info(graph: onnx.GraphProto, name: str) -> onnx.ValueInfoProto:
    """Return the declaration of a value; one without a type where nothing is known."""
    found: onnx.ValueInfoProto
    for found in (*graph.input, *graph.value_info, *graph.output):
        if found.name == name:
            return found
    return onnx.ValueInfoProto(name=name)
