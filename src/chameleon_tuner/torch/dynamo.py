"""The backend that `torch.compile(backend="chameleon")` calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from chameleon_tuner.app.options import Options
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.core.errors import ChameleonError, UsageError, hint, last_line
from chameleon_tuner.torch.frozen import Frozen, NotTunableError, OperatorsRefusedError, code_of
from chameleon_tuner.torch.kept import LOGGER, faster, tuned
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

MOST_MODULES = 64
"""Modules of a class for whose weights a graph is tuned, as many as have the largest networks."""

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
    fields = [name for name in Options.__dataclass_fields__ if name not in ("inputs", "shapes")]
    known = [*fields, *(algorithm.name for algorithm in TVMBackend().algorithms)]
    for kind, names, asked in (("mode", MODES, [mode or "default"]), ("option", known, options)):
        for name in asked:
            if name not in names:
                told = f"{hint(name, names)}known: {', '.join(names)}"
                raise UsageError(f"unknown {kind} {name!r}; {told}")
    limited = {"time_budget", "trials", "effort"} & {*options}
    return {**({} if limited else {**DEFAULTS, **MODES[mode or "default"]}), **options}


def _compiled(graph: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Call:
    """Return what runs a graph for all weights: tuned, in parts, or PyTorch."""
    try:
        _require_tunable(arguments)
    except NotTunableError as error:
        say(f"a graph stays in PyTorch: {error}")
        return cast(Call, graph.forward)
    return _AnyWeights(graph, arguments, options)


def _tuned(
    graph: Any, arguments: Sequence[Any], free: Sequence[int], options: Mapping[str, Any]
) -> Call | None:
    """Return what runs a graph with its weights, as a whole or in parts; None for PyTorch."""
    try:
        return _tuned_or_cut(graph, arguments, free, options)
    except UsageError:
        raise
    except (NotTunableError, ChameleonError) as error:
        say(f"a graph stays in PyTorch: {error}")
    except Exception as error:  # of PyTorch or TVM: the program goes on as without this backend
        LOGGER.debug("a graph cannot be tuned", exc_info=True)
        say(f"a graph stays in PyTorch: {type(error).__name__}: {last_line(error)}")
    return None


def _tuned_or_cut(
    graph: Any, arguments: Sequence[Any], free: Sequence[int], options: Mapping[str, Any]
) -> Call:
    frozen = Frozen(graph, arguments, free)
    try:
        return faster(tuned(frozen, arguments, code_of(graph), options))
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
        if isinstance(tensor, torch.nn.Parameter) and tensor.is_inference():
            raise NotTunableError(
                "PyTorch does not tell when weights change that were made in inference mode; make "
                "the module outside of it"
            )


class _AnyWeights:
    """A graph that is tuned for the weights of every module that calls it.

    PyTorch compiles a graph once for all modules of a class.

    Args:
        graph: The graph.
        arguments: Its inputs at the first call, for whose weights it is tuned at once.
        options: Options of the runs.
    """

    def __init__(self, graph: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        self._graph, self._options = graph, options
        self._free = _free(graph, arguments)
        self._weights = [n for n in range(len(arguments)) if n not in set(self._free)]
        self._made: dict[tuple[int, ...], _Weighted] = {}
        self.add(arguments)

    def add(self, arguments: Sequence[Any]) -> _Weighted:
        """Tune the graph for the weights among some arguments."""
        weights = [arguments[number] for number in self._weights]
        versions_ = [_version(weight) for weight in weights]  # before they are read
        call = _tuned(self._graph, arguments, self._free, self._options)
        added = _Weighted(weights, versions_, call)
        self._made[tuple(map(id, weights))] = added
        return added

    def __call__(self, *arguments: Any) -> Any:
        weights = [arguments[number] for number in self._weights]
        found = self._made.get(tuple(map(id, weights)))
        if found is None:
            if len(self._made) >= MOST_MODULES:
                say(f"a graph has been tuned for {MOST_MODULES} modules: others run in PyTorch")
                return self._graph.forward(*arguments)
            found = self.add(arguments)
        if found.call is None:
            return self._graph.forward(*arguments)
        if found.versions != [_version(weight) for weight in weights]:
            say(
                "a weight has changed since the graph was tuned, so it runs in PyTorch; call "
                "torch.compiler.reset() to tune it again"
            )
            return self._graph.forward(*arguments)
        return found.call(*arguments)


@dataclass(frozen=True)
class _Weighted:
    """A graph with its weights.

    Attributes:
        weights: The weights, which are kept alive: their identity is what they are known by.
        versions: The versions that they had.
        call: Runs the graph; None for PyTorch.
    """

    weights: Sequence[Any]
    versions: Sequence[int]
    call: Call | None


def _version(weight: Any) -> int:
    """Return a number that grows whenever a tensor is changed in place."""
    tensor = isinstance(weight, torch.Tensor) and not weight.is_inference()
    return int(weight._version) if tensor else 0


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
            given.shape if isinstance(given, torch.Tensor) else int(given) for given in arguments
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
