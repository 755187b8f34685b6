"""Other ways to compute the kernels of a network, each a task of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.target import Target

from chameleon_tuner.task import Finalist
from chameleon_tuner.tvm.constants import is_constant
from chameleon_tuner.tvm.kernels import is_gpu
from chameleon_tuner.tvm.lower import key_of, lower, normalized, scheduled
from chameleon_tuner.tvm.traces import TracedSpace
from chameleon_tuner.tvm.winograd.filtering import FILTERINGS, KERNEL, transformed_weights
from chameleon_tuner.tvm.winograd.kernel import DTYPE, Convolution, winograd

_CONV2D = "relax.nn.conv2d"
_TILE, _WEIGHT = "winograd_tile", "winograd_weight"

_LEAST_CHANNELS = 16
"""Of inputs and of outputs. With fewer the sums over the tiles outweigh the products: of F(4x4)
and 3 inputs they are most of the work."""


@dataclass(frozen=True)
class Winograd:
    """A kernel that holds a 3x3 convolution, computed by minimal filtering.

    Attributes:
        tile: m of F(m x m, 3 x 3).
        weight: number of the argument that is transformed.
    """

    tile: int
    weight: int

    @staticmethod
    def of(function: Any) -> Winograd | None:
        """How a function's weights are transformed; None for one that takes them as they are."""
        attributes = function.attrs or {}
        if _TILE not in attributes:
            return None
        return Winograd(int(attributes[_TILE]), int(attributes[_WEIGHT]))

    def marked(self, function: Any) -> Any:
        """The function, so that `of` knows it."""
        return function.with_attr(_TILE, self.tile).with_attr(_WEIGHT, self.weight)

    @property
    def name(self) -> str:
        """Of the algorithm, for people."""
        return f"winograd {self.tile}x{self.tile}"

    def arguments(self, originals: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Arguments of the kernel as the network has it, as this one takes them."""
        arguments = list(originals)
        arguments[self.weight] = transformed_weights(arguments[self.weight], self.tile)
        return arguments


def alternatives_of(module: IRModule, target: Target, lowered: IRModule) -> dict[str, list[Any]]:
    """Functions that compute what those of a lowered module do, by the names of the latter.

    The module is lowered once more for each way. That fuses the same, so the calls correspond.

    Args:
        module: as imported.
        target: as lowered for.
        lowered: from `lower`.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    if is_gpu(target):
        return found
    mine = _calls(lowered)
    for tile in FILTERINGS:
        other = lower(module, target, {_CONV2D: _Legalizer(tile)})
        theirs = _calls(other)
        if len(theirs) != len(mine):
            continue
        for name, their_name in dict(zip(mine, theirs, strict=True)).items():
            function = other[their_name]
            weight = _transformed_argument(lowered[name], function)
            if weight is not None:
                found[name].append(Winograd(tile, weight).marked(function))
    return found


class _Legalizer:
    """Makes a minimal filtering of every convolution that can be one, and else TVM's own.

    The weights only have their shape: nothing is computed with them.
    """

    def __init__(self, tile: int) -> None:
        self._tile = tile

    def __call__(self, builder: relax.BlockBuilder, call: Any) -> Any:
        convolution = _convolution(builder, call)
        if convolution is None:
            return tvm.ir.Op.get(_CONV2D).get_attr("FLegalize")(builder, call)
        function = winograd(convolution, self._tile)
        weights = relax.const(np.zeros([int(e) for e in function.params[1].shape], DTYPE))
        variable = builder.add_func(function, "winograd")
        return relax.call_tir(variable, [call.args[0], weights], call.ty)


def _convolution(builder: relax.BlockBuilder, call: Any) -> Convolution | None:
    """The convolution of a call, if it is one that can be filtered; its weights must be known."""
    data, weights = call.args
    if isinstance(weights, relax.Var):
        weights = builder.lookup_binding(weights)
    attributes = call.attrs
    plain = (
        (str(attributes.data_layout), str(attributes.kernel_layout)) == ("NHWC", "HWIO")
        and int(attributes.groups) == 1
        and all(int(s) == 1 for s in (*attributes.strides, *attributes.dilation))
        and str(call.ty.dtype) == str(data.ty.dtype) == DTYPE
    )
    if not plain or not is_constant(weights):
        return None
    rows, columns, inputs, outputs = (int(extent) for extent in weights.ty.shape.values)
    if (rows, columns) != (KERNEL, KERNEL) or min(inputs, outputs) < _LEAST_CHANNELS:
        return None
    batch, height, width, _ = (int(extent) for extent in data.ty.shape.values)
    top, left, bottom, right = (int(zeros) for zeros in attributes.padding)
    return Convolution(batch, height, width, inputs, outputs, (top, left, bottom, right))


def _calls(lowered: IRModule) -> list[str]:
    """Names of the kernels that `main` calls, in order."""
    return [
        str(binding.value.args[0].name_hint)
        for block in lowered["main"].body.blocks
        for binding in block.bindings
        if is_kernel_call(binding.value)
    ]


def is_kernel_call(expression: Any) -> bool:
    """Whether an expression calls a TensorIR function of its module."""
    return getattr(getattr(expression, "op", None), "name", "") == "relax.call_tir"


def _transformed_argument(function: Any, other: Any) -> int | None:
    """The argument whose shape differs between two functions; None where none does."""
    shapes = [
        [tuple(int(extent) for extent in parameter.shape) for parameter in f.params]
        for f in (function, other)
    ]
    differing = [n for n, (a, b) in enumerate(zip(*shapes, strict=True)) if a != b]
    return differing[0] if len(differing) == 1 else None


@mutator
class _Replacer(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Calls scheduled alternatives in place of the functions that they stand for."""

    def __init__(self, module: IRModule, chosen: Mapping[str, Any]) -> None:
        super().__init__(module)
        self._chosen = chosen
        self._added: dict[str, Any] = {}

    def visit_call_(self, call: Any) -> Any:
        """The call of the alternative, its weights transformed; or the call as it was."""
        call = super().visit_call_(call)
        name = str(call.args[0].name_hint) if is_kernel_call(call) else ""
        if name not in self._chosen:
            return call
        function = self._chosen[name]
        if name not in self._added:
            self._added[name] = self.builder_.add_func(function, alternative_name(name))
        way = Winograd.of(function)
        assert way is not None  # noqa: S101 - what is chosen is marked
        arguments = list(call.args[1].fields)
        weights = arguments[way.weight].value.numpy()
        arguments[way.weight] = relax.const(transformed_weights(weights, way.tile))
        return relax.call_tir(self._added[name], arguments, call.ty_args[0])


def alternative_name(name: str) -> str:
    """What a library calls the alternative of a kernel."""
    return f"{name}_winograd"


def apply_winners(
    lowered: IRModule,
    alternatives: Mapping[str, Sequence[Any]],
    spaces: Mapping[str, TracedSpace],
    winners: Mapping[str, Finalist],
) -> IRModule:
    """Put the winning schedules into a lowered module.

    Args:
        lowered: from `lower`.
        alternatives: from `alternatives_of`.
        spaces: of all tasks, by key.
        winners: by key of the kernel; those without a winner stay unscheduled.
    """
    updated, replaced = {}, {}
    for variable, function in lowered.functions.items():
        updated[variable] = function
        if not isinstance(function, tvm.tirx.PrimFunc):
            continue
        winner = winners.get(key_of(normalized(function)))
        if winner is None:
            continue
        key, name = winner.task.key, str(variable.name_hint)
        if not winner.task.computes:
            updated[variable] = scheduled(function, spaces[key], winner.configuration)
            continue
        other = next(f for f in alternatives[name] if key_of(normalized(f)) == key)
        replaced[name] = scheduled(other, spaces[key], winner.configuration)
    return _replace_calls(IRModule(updated, attrs=lowered.attrs), replaced)


def _replace_calls(lowered: IRModule, chosen: Mapping[str, Any]) -> IRModule:
    """Let `main` call other functions, with transformed weights.

    Args:
        lowered: its kernels.
        chosen: functions from `alternatives_of`, scheduled, by the names of those whose calls
            they take.
    """
    if not chosen:
        return lowered
    replacer = _Replacer(lowered, chosen)
    main = replacer.visit_expr(lowered["main"])
    module = replacer.builder_.get()
    functions = {
        variable: main if variable.name_hint == "main" else function
        for variable, function in module.functions.items()
        if variable.name_hint not in chosen
    }
    return IRModule(functions, attrs=lowered.attrs)
