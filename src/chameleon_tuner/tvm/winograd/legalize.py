"""Convolutions of a Relax module that become minimal filterings."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import relax

from chameleon_tuner.tvm.constants import is_constant
from chameleon_tuner.tvm.winograd.filtering import KERNEL
from chameleon_tuner.tvm.winograd.kernel import DTYPE, Convolution, winograd

CONV2D = "relax.nn.conv2d"

_LEAST_CHANNELS = 16
"""Of inputs and of outputs. With fewer the sums over the tiles outweigh the products: of F(4x4)
and 3 inputs they are most of the work."""


class Filtered:
    """Makes a minimal filtering of every convolution that can be one, and else TVM's own.

    The weights only have their shape: nothing is computed with them.
    """

    def __init__(self, tile: int) -> None:
        self._tile = tile

    def __call__(self, builder: relax.BlockBuilder, call: Any) -> Any:
        """What Relax calls with an operator: the call of a kernel."""
        convolution = _convolution(builder, call)
        if convolution is None:
            return tvm.ir.Op.get(CONV2D).get_attr("FLegalize")(builder, call)
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
        and str(attributes.out_layout) in ("", "NHWC")
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
