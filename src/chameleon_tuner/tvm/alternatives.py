"""Other ways to compute the kernels of a network, each a task of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.tvm.kernels import is_gpu, weights_of
from chameleon_tuner.tvm.lower import fuse, is_kernel_call, key_of, normalized
from chameleon_tuner.tvm.winograd.filtering import FILTERINGS, transformed_weights
from chameleon_tuner.tvm.winograd.legalize import CONV2D, Filtered

_TILE, _WEIGHT = "winograd_tile", "winograd_weight"


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


Alternatives: TypeAlias = Mapping[str, Sequence[Any]]
"""Marked functions by the key of the kernel that they compute in another way."""


def alternatives_of(module: IRModule, target: Target, lowered: IRModule) -> Alternatives:
    """Functions that compute what those of a lowered module do.

    The module is fused once more for each way. That fuses the same, so the calls correspond.

    Args:
        module: from `lay_out`.
        target: as it was laid out for.
        lowered: what `fuse` made of it.
    """
    if is_gpu(target):
        return {}
    found: dict[str, list[Any]] = {}
    mine = _calls(lowered)
    for tile in FILTERINGS:
        other = fuse(module, target, {CONV2D: Filtered(tile)})
        theirs = _calls(other)
        if len(theirs) != len(mine):
            continue
        pairs = dict(zip(mine, theirs, strict=True)).items()
        ways = {lowered[name]: other[their_name] for name, their_name in pairs}
        for key, function in _one_a_kernel(ways, tile).items():
            found.setdefault(key, []).append(function)
    return found


def _one_a_kernel(ways: Mapping[Any, Any], tile: int) -> dict[str, Any]:
    """Marked functions by the kernel's key, of those whose weights were transformed."""
    found = {}
    for function, other in ways.items():
        weight = _transformed_argument(function, other)
        if weight is not None:
            found[key_of(normalized(function))] = Winograd(tile, weight).marked(other)
    return found


def _calls(lowered: IRModule) -> list[str]:
    """Names of the kernels that `main` calls, in order."""
    return [
        str(binding.value.args[0].name_hint)
        for block in lowered["main"].body.blocks
        for binding in block.bindings
        if is_kernel_call(binding.value)
    ]


def _transformed_argument(function: Any, other: Any) -> int | None:
    """The weight that alone differs in shape between two functions; None where there is none."""
    mine, theirs = (
        [tuple(int(extent) for extent in parameter.shape) for parameter in f.params]
        for f in (function, other)
    )
    if len(mine) != len(theirs):
        return None
    differing = [n for n, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    weights = weights_of(function)
    return differing[0] if len(differing) == 1 and differing[0] in weights else None
