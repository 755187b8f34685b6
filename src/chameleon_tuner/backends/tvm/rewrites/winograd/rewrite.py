"""Alternatives for kernels of a network: their convolutions computed by minimal filtering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import tvm
from tvm import relax
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.constants import is_constant
from chameleon_tuner.backends.tvm.lower.kernel import weights_of
from chameleon_tuner.backends.tvm.rewrites.base import (
    Alternative,
    Alternatives,
    Rewrite,
    Transform,
    by_kernel,
    fused_otherwise,
    joined,
)
from chameleon_tuner.backends.tvm.rewrites.winograd import rules as _rules  # noqa: F401 - registers
from chameleon_tuner.backends.tvm.rewrites.winograd.kernel import (
    DTYPE,
    FILTERINGS,
    KERNEL,
    Convolution,
    transformed_weights,
    winograd,
)
from chameleon_tuner.backends.tvm.targets import is_gpu

CONV2D = "relax.nn.conv2d"

_LEAST_CHANNELS = 16
"""Least number of input and of output channels. With fewer channels the transformations of the
tiles outweigh the products: with F(4x4) and 3 input channels they are most of the work."""

_TILE, _WEIGHT = "winograd_tile", "winograd_weight"
"""Attributes of a function that computes a filtering: m of F(m x m, 3 x 3), and the number of the
argument with the transformed weights. They are part of the task's key, so that records of different
algorithms are told apart."""


def _alternatives(module: IRModule, target: Target, lowered: IRModule) -> Alternatives:
    if is_gpu(target) or not any(map(_may_be_filtered, _convolutions(module))):
        return {}  # fusing the module again would take seconds
    return joined([_filtered(module, target, lowered, tile) for tile in FILTERINGS])


def _convolutions(module: IRModule) -> Iterator[Any]:
    for block in module["main"].body.blocks:
        for binding in block.bindings:
            if getattr(getattr(binding.value, "op", None), "name", "") == CONV2D:
                yield binding.value


def _may_be_filtered(call: Any) -> bool:
    """Return whether a convolution has the size that filtering is for, by what is seen at once.

    The 3x3 convolutions of an EfficientNet-B0 are depthwise ones. To fuse it twice more took a
    third of the time until its search began.
    """
    shape = [int(extent) for extent in call.args[1].ty.shape.values]
    attributes = call.attrs
    layout = str(attributes.kernel_layout)
    rows, columns, inputs, outputs = (shape[layout.index(axis)] for axis in "HWIO")
    sized = (rows, columns) == (KERNEL, KERNEL) and min(inputs, outputs) >= _LEAST_CHANNELS
    return sized and int(attributes.groups) == 1 and all(int(s) == 1 for s in attributes.strides)


def _filtered(module: IRModule, target: Target, lowered: IRModule, tile: int) -> Alternatives:
    """Return alternatives for all kernels whose convolutions can become F(tile x tile, 3 x 3)."""
    found = []
    for function, other in fused_otherwise(module, target, lowered, {CONV2D: Filtered(tile)}):
        weight = _transformed_argument(function, other)
        if weight is not None:
            marked = other.with_attr(_TILE, tile).with_attr(_WEIGHT, weight)
            found.append((function, Alternative(marked, f"winograd {tile}x{tile}")))
    return by_kernel(found)


def _transforms(function: Any) -> Mapping[int, Transform]:
    attributes = function.attrs or {}
    if _TILE not in attributes:
        return {}
    tile = int(attributes[_TILE])
    return {int(attributes[_WEIGHT]): partial(transformed_weights, tile=tile)}


def _transformed_argument(function: Any, other: Any) -> int | None:
    """Return the number of the argument with the transformed weights; None if there is none.

    It is a weight of the kernel, and the only argument whose shape differs from its counterpart's.

    Args:
        function: The kernel.
        other: Its counterpart, which may compute a filtering.
    """
    mine, theirs = (
        [tuple(int(extent) for extent in parameter.shape) for parameter in f.params]
        for f in (function, other)
    )
    if len(mine) != len(theirs):
        return None
    differing = [n for n, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    weights = weights_of(function)
    return differing[0] if len(differing) == 1 and differing[0] in weights else None


REWRITE = Rewrite(alternatives=_alternatives, transforms=_transforms)


class Filtered:
    """A legalizer that computes convolutions by minimal filtering where possible, others by TVM's.

    The weights of the new kernel are zeros, because only their shape is used.

    Args:
        tile: m of F(m x m, 3 x 3).
    """

    def __init__(self, tile: int) -> None:
        self._tile = tile

    def __call__(self, builder: relax.BlockBuilder, call: Any) -> Any:
        """Return the call of a kernel that replaces the call of an operator; Relax calls this."""
        convolution = _convolution(builder, call)
        if convolution is None:
            return tvm.ir.Op.get(CONV2D).get_attr("FLegalize")(builder, call)
        function = winograd(convolution, self._tile)
        weights = relax.const(np.zeros([int(e) for e in function.params[1].shape], DTYPE))
        variable = builder.add_func(function, "winograd")
        return relax.call_tir(variable, [call.args[0], weights], call.ty)


def _convolution(builder: relax.BlockBuilder, call: Any) -> Convolution | None:
    """Return the convolution of a call; None if filtering cannot compute it.

    Filtering also needs weights that are known at compile time.
    """
    data, weights = call.args
    if isinstance(weights, relax.Var):
        weights = builder.lookup_binding(weights)
    attributes = call.attrs
    plain = (
        (str(attributes.data_layout), str(attributes.kernel_layout)) == ("NHWC", "HWIO")
        and str(attributes.out_layout) in ("", "NHWC")
        and all(int(s) == 1 for s in attributes.dilation)
        and str(call.ty.dtype) == str(data.ty.dtype) == DTYPE
    )
    if not plain or not is_constant(weights) or not _may_be_filtered(call):
        return None
    _, _, inputs, outputs = (int(extent) for extent in weights.ty.shape.values)
    batch, height, width, _ = (int(extent) for extent in data.ty.shape.values)
    top, left, bottom, right = (int(zeros) for zeros in attributes.padding)
    return Convolution(batch, height, width, inputs, outputs, (top, left, bottom, right))
