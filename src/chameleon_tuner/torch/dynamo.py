"""The backend that `torch.compile(backend="chameleon")` calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from chameleon_tuner.app.options import Options
from chameleon_tuner.core.errors import ChameleonError, UsageError, hint
from chameleon_tuner.torch.frozen import Frozen, NotTunableError, OperatorsRefusedError
from chameleon_tuner.torch.kept import faster, tuned
from chameleon_tuner.torch.parts import NothingToCutError, in_parts

DEFAULTS: Mapping[str, Any] = {"effort": "quick"}
"""Options of a graph's run, where the user gives none."""

MODES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "reduce-overhead": {},
    "max-autotune": {"effort": "full"},
    "max-autotune-no-cudagraphs": {"effort": "full"},
}
"""What the modes of `torch.compile` mean."""

MOST_SHAPES = 8
"""Shapes for which a graph with dynamic shapes is tuned, as many as PyTorch recompiles for; others
run in PyTorch."""

Call = Callable[..., Any]


class EagerWarning(UserWarning):
    """Something stays in PyTorch, with the reason."""


def backend(
    graph: torch.fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Call:
    """Tune a graph of `torch.compile` and return what runs it.

    Args:
        graph: A graph; its parameters and buffers are among its inputs.
        example_inputs: Its inputs at the first call.
        mode: The mode of `torch.compile`; `max-autotune` is the effort `full`.
        options: Options of `chameleon_tuner.tune`, such as `effort` or `time_budget`.

    Returns:
        A function of the graph's inputs. It runs the graph in PyTorch where that cannot be tuned.

    Raises:
        UsageError: The mode or an option is unknown.
    """
    chosen = checked(mode, options or {})
    if any(isinstance(given, int | torch.SymInt) for given in example_inputs):
        return _AnyShape(graph, chosen)
    return _compiled(graph, example_inputs, chosen)


def checked(mode: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a run.

    Args:
        mode: The mode of `torch.compile`.
        options: What the user gives.

    Returns:
        The options, with defaults.

    Raises:
        UsageError: The mode or an option is unknown.
    """
    known = [name for name in Options.__dataclass_fields__ if name not in ("inputs", "shapes")]
    for kind, names, asked in (("mode", MODES, [mode or "default"]), ("option", known, options)):
        for name in asked:
            if name not in names:
                told = f"{hint(name, names)}known: {', '.join(names)}"
                raise UsageError(f"unknown {kind} {name!r}; {told}")
    limited = {"time_budget", "trials", "effort"} & {*options}
    return {**({} if limited else {**DEFAULTS, **MODES[mode or "default"]}), **options}


def _compiled(graph: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Call:
    """Return what runs a graph: tuned, in parts, or PyTorch."""
    free, eager = _free(graph, arguments), graph.forward
    try:
        _require_tunable(arguments)
        made = _tuned_or_cut(graph, arguments, free, options)
    except UsageError:
        raise
    except (NotTunableError, ChameleonError) as error:
        say(f"a graph stays in PyTorch: {error}")
        return cast(Call, eager)
    return _Guarded(eager, made, arguments, frozenset(free))


def _tuned_or_cut(
    graph: Any, arguments: Sequence[Any], free: Sequence[int], options: Mapping[str, Any]
) -> Call:
    frozen = Frozen(graph, arguments, free)
    try:
        return faster(tuned(frozen, arguments, graph.code, options))
    except OperatorsRefusedError as error:
        try:
            return in_parts(frozen, arguments, options, say)
        except NothingToCutError:
            raise error from None


def _free(graph: Any, arguments: Sequence[Any]) -> list[int]:
    """Return the positions of the inputs that are no parameters or buffers of a module."""
    inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
    return [
        number
        for number, (node, argument) in enumerate(zip(inputs, arguments, strict=True))
        if isinstance(argument, torch.Tensor)
        and not isinstance(argument, torch.nn.Parameter)
        and not (node.meta.get("tensor_dict") or {}).get("_dynamo_static_input_type")
    ]


def _require_tunable(arguments: Sequence[Any]) -> None:
    """Raise a `NotTunableError` if gradients are wanted, or a tensor is not on the CPU."""
    tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise NotTunableError(
            "gradients are recorded; call it within torch.no_grad() or torch.inference_mode()"
        )
    for tensor in tensors:
        if tensor.device.type != "cpu":
            raise NotTunableError(f"its tensors are on {tensor.device}; only the CPU is supported")


class _Guarded:
    """A tuned graph, which is run in PyTorch once a weight has changed.

    Args:
        eager: Runs the graph in PyTorch.
        made: Runs it tuned.
        arguments: The arguments that it was tuned with.
        free: Positions of those that are not constant.
    """

    def __init__(
        self, eager: Call, made: Call, arguments: Sequence[Any], free: frozenset[int]
    ) -> None:
        self._eager, self._made = eager, made
        self._constant = [
            (number, argument, _version(argument))
            for number, argument in enumerate(arguments)
            if number not in free and isinstance(argument, torch.Tensor)
        ]

    def __call__(self, *arguments: Any) -> Any:
        for number, constant, version in self._constant:
            argument = arguments[number]
            if argument is not constant or _version(argument) != version:
                say(
                    "a weight has changed since the graph was tuned, so it runs in PyTorch; call "
                    "torch.compiler.reset() to tune it again"
                )
                return self._eager(*arguments)
        return self._made(*arguments)


def _version(tensor: torch.Tensor) -> int:
    """Return a number that grows whenever a tensor is changed in place."""
    return 0 if tensor.is_inference() else int(tensor._version)


@dataclass
class _AnyShape:
    """A graph with dynamic shapes, which is tuned for every shape that it is called with.

    Attributes:
        graph: The graph.
        options: Options of the runs.
    """

    graph: Any
    options: Mapping[str, Any]
    _made: dict[Any, Call] = field(default_factory=dict)

    def __call__(self, *arguments: Any) -> Any:
        key = tuple(
            tuple(given.shape) if isinstance(given, torch.Tensor) else int(given)
            for given in arguments
        )
        if key not in self._made:
            if len(self._made) == MOST_SHAPES:
                say(f"a graph has been tuned for {MOST_SHAPES} shapes: others run in PyTorch")
                return self.graph.forward(*arguments)
            self._made[key] = _compiled(self.graph, arguments, self.options)
        return self._made[key](*arguments)


_SAID: set[str] = set()


def say(text: str) -> None:
    """Warn of something once in a process."""
    if text not in _SAID:
        _SAID.add(text)
        warnings.warn(f"chameleon: {text}", EagerWarning, stacklevel=2)
