"""Functions of PyTorch tensors in which everything but some inputs is constant."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from chameleon_tuner.backends.tvm.frontend.sessions import short

LITERALS = bool | int | float | str | None
"""What is constant in a tuned function besides tensors."""

Leaf = Mapping[str, Any]
"""Where a part of what a function returns comes from: the `output` or `argument` of a number, or a
constant `value`."""


class NotTunableError(Exception):
    """A function that stays in PyTorch; the message says why."""


class OperatorsRefusedError(NotTunableError):
    """A function with operators that PyTorch cannot export to ONNX."""


@dataclass
class Returned:
    """What a function returns.

    Attributes:
        leaves: Where its parts come from.
        structure: How they are put together.
    """

    leaves: list[Leaf] = field(default_factory=list)
    structure: Any = None

    def put_together(self, outputs: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Return what the function returns, of its outputs and of its arguments."""
        found = [self._leaf(leaf, outputs, arguments) for leaf in self.leaves]
        return pytree.tree_unflatten(found, self.structure) if self.structure else tuple(found)

    @staticmethod
    def _leaf(leaf: Leaf, outputs: Sequence[Any], arguments: Sequence[Any]) -> Any:
        if "output" in leaf:
            return outputs[leaf["output"]]
        return arguments[leaf["argument"]] if "argument" in leaf else leaf["value"]


class Frozen(torch.nn.Module):
    """A function of some of its arguments; the others are constant.

    Its `forward` takes the free arguments, and returns the tensors among what the function returns.

    Args:
        function: The function.
        arguments: All arguments, by position.
        free: Positions of the free ones, which are tensors.

    Attributes:
        free: Positions of the free arguments.
        constants: The other arguments, by position.
        returned: What the function returns; known after the first call of `forward`.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Sequence[Any], free: Sequence[int]
    ) -> None:
        super().__init__()
        self.function, self.free, self.count = function, tuple(free), len(arguments)
        self.constants = {n: arguments[n] for n in range(len(arguments)) if n not in set(free)}
        self.returned = Returned()
        for number, constant in self.constants.items():
            if isinstance(constant, torch.Tensor):
                self.register_buffer(f"constant{number}", constant.detach())

    def forward(self, *free: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the tensors that the function returns, each once."""
        arguments = self._merged(free)
        leaves, structure = _flat(self.function(*arguments))
        known = {id(argument): n for n, argument in enumerate(arguments)}
        found: dict[int, int] = {}
        outputs: list[torch.Tensor] = []
        described: list[Leaf] = []
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor):
                described.append({"value": _constant(leaf)})
            elif id(leaf) in known:
                described.append({"argument": known[id(leaf)]})
            else:
                if id(leaf) not in found:
                    found[id(leaf)] = len(outputs)
                    outputs.append(leaf)
                described.append({"output": found[id(leaf)]})
        self.returned.leaves[:], self.returned.structure = described, structure
        return tuple(outputs)

    def _merged(self, free: Sequence[Any]) -> list[Any]:
        buffers = dict(self.named_buffers(recurse=False))
        given = dict(zip(self.free, free, strict=True))
        return [
            given[n] if n in given else buffers.get(f"constant{n}", self.constants.get(n))
            for n in range(self.count)
        ]


def _constant(value: Any) -> Any:
    """Return a value that is no tensor; the number of a dimension that is known after all."""
    if isinstance(value, torch.SymInt):
        return int(value)
    if isinstance(value, LITERALS):
        return value
    raise NotTunableError(f"it returns a {type(value).__name__}, which is no tensor")


def _flat(returned: Any) -> tuple[list[Any], Any]:
    """Return the parts of what a function returns; dataclasses are taken apart as well."""
    leaves, structure = pytree.tree_flatten(returned)
    unknown = {type(leaf) for leaf in leaves if dataclasses.is_dataclass(leaf)}
    if not unknown:
        return leaves, structure
    for kind in unknown:
        torch.export.register_dataclass(kind)
    return pytree.tree_flatten(returned)


def export(frozen: Frozen, arguments: Sequence[torch.Tensor]) -> Any:
    """Return a frozen function as an exported program.

    Args:
        frozen: The function.
        arguments: Examples of its free arguments.

    Returns:
        A `torch.export.ExportedProgram`.

    Raises:
        NotTunableError: PyTorch cannot export it, or it computes nothing.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constants that PyTorch makes buffers of
            # Of a tensor that is there twice, torch.export would take one for the other.
            apart = tuple(argument.detach().clone() for argument in arguments)
            program = torch.export.export(frozen, apart, strict=False)
    except NotTunableError:
        raise
    except Exception as error:
        raise NotTunableError(f"torch.export refuses it: {short(error)}") from None
    if not any("output" in leaf for leaf in frozen.returned.leaves):
        raise NotTunableError("it computes no tensor")
    return program


def code_of(graph: Any) -> str:
    """Return the code of a graph with that of the graphs in it, and of functions that it calls."""
    graphs = [part for part in graph.modules() if isinstance(part, torch.fx.GraphModule)]
    called = {node.target for part in graphs for node in part.graph.nodes if callable(node.target)}
    foreign = sorted(
        f"{target.__module__}.{target.__qualname__} {target.__code__.co_code.hex()} "
        f"{target.__code__.co_consts}"
        for target in called
        if hasattr(target, "__code__") and not target.__module__.startswith("torch")
    )
    return "\n".join([*(part.code for part in graphs), *foreign])


def digest_of(text: str, tensors: Mapping[str, torch.Tensor], about: Any) -> str:
    """Return a hash of a graph, of its weights, and of what else decides over the result.

    Args:
        text: The graph as code.
        tensors: Its weights by name.
        about: Anything that can be written as text.

    Returns:
        The hash, as 32 hexadecimal digits.
    """
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous()
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    found.update(repr(about).encode())
    return found.hexdigest()[:32]
