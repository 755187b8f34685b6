"""Graphs that are cut where an operator stays in PyTorch; what is between is tuned."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from chameleon_tuner.core.errors import UsageError, last_line
from chameleon_tuner.torch.frozen import Frozen, code_of, export
from chameleon_tuner.torch.kept import faster, tuned

_FUSED = "fused_"
"""How PyTorch's partitioner begins the names of what it cuts out."""


class NothingToCutError(Exception):
    """A graph that is refused for another reason than its operators."""


def in_parts(
    frozen: Frozen,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    say: Callable[[str], None],
) -> Callable[..., Any]:
    """Return a function that runs parts of a graph tuned, and the others in PyTorch.

    Args:
        frozen: The graph.
        arguments: All its arguments.
        options: Options of `chameleon_tuner.tune`.
        say: Is told which operators stay in PyTorch.

    Returns:
        A function of all arguments.

    Raises:
        NothingToCutError: None of its operators is refused, or all are.
        NotTunableError: PyTorch cannot export the graph at all.
    """
    examples = [arguments[number] for number in frozen.free]
    support = _Exportable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch uses deprecated parts of itself
        graph = export(frozen, examples).run_decompositions().module(check_guards=False)
    partitioner = CapabilityBasedPartitioner(graph, support)
    partitions = partitioner.propose_partitions()
    refused = {str(node.target) for node in graph.graph.nodes if support.refuses(node)}
    if not refused or not partitions:
        raise NothingToCutError
    say(f"these operators stay in PyTorch, and a graph is cut there: {', '.join(sorted(refused))}")
    cut = partitioner.fuse_partitions(partitions)
    _tune_parts(cut, examples, options, say)
    returned, free = frozen.returned, frozen.free

    def run(*given: Any) -> Any:
        with torch.no_grad():
            outputs = cut(*(given[number] for number in free))
        return returned.put_together(list(outputs), given)

    return run


class _Exportable(OperatorSupportBase):
    """Tells which operators PyTorch's exporter knows."""

    def __init__(self) -> None:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        self._known = ONNXRegistry.from_torchlib()

    def is_node_supported(self, submodules: Mapping[str, Any], node: torch.fx.Node) -> bool:
        """Return whether the exporter knows the operator of a node."""
        if node.op != "call_function":
            return False
        return not isinstance(node.target, torch._ops.OpOverload) or self._known.is_registered(
            node.target
        )

    def refuses(self, node: torch.fx.Node) -> bool:
        """Return whether a node is an operator that the exporter does not know."""
        return node.op == "call_function" and not self.is_node_supported({}, node)


def _tune_parts(
    cut: Any, examples: Sequence[Any], options: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Replace the parts of a cut graph by tuned ones."""
    seen: dict[str, tuple[Any, ...]] = {}
    hooks = [
        part.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given}))
        for name, part in cut.named_children()
        if name.startswith(_FUSED)
    ]
    with torch.no_grad():
        cut(*examples)
    for hook in hooks:
        hook.remove()
    calls = {node.target: node for node in cut.graph.nodes if node.op == "call_module"}
    for name, given in seen.items():
        changing = [
            number
            for number, node in enumerate(calls[name].args)
            if node.op != "get_attr" and isinstance(given[number], torch.Tensor)
        ]
        part = getattr(cut, name)
        try:
            made = faster(tuned(Frozen(part, given, changing), given, code_of(part), options))
        except UsageError:
            raise
        except Exception as error:
            say(f"a part of a graph stays in PyTorch: {last_line(error)}")
            continue
        setattr(cut, name, _Part(made, single=not _returns_tuple(part)))


def _returns_tuple(part: Any) -> bool:
    [output] = [node for node in part.graph.nodes if node.op == "output"]
    return isinstance(output.args[0], tuple | list)


class _Part(torch.nn.Module):
    """A tuned part of a graph.

    Args:
        made: Runs it.
        single: Whether it returns a tensor, not a tuple.
    """

    def __init__(self, made: Callable[..., Any], *, single: bool) -> None:
        super().__init__()
        self._made, self._single = made, single

    def forward(self, *given: Any) -> Any:
        """Run the part."""
        returned = self._made(*given)
        return returned[0] if self._single and isinstance(returned, tuple) else returned
