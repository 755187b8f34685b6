"""Functions that libm computes one value at a time, as polynomials that vectorise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tvm import relax, topi

Legalizer = Callable[[relax.BlockBuilder, Any], Any]
"""Makes a call of a kernel from a call of an operator."""


def _erf(builder: relax.BlockBuilder, call: Any) -> Any:
    return builder.call_te(topi.fast_erf, call.args[0], primfunc_name_hint="erf")


def _softmax(builder: relax.BlockBuilder, call: Any) -> Any:
    axis = int(call.attrs.axis)
    return builder.call_te(topi.nn.fast_softmax, call.args[0], axis, primfunc_name_hint="softmax")


FAST_MATH: Mapping[str, Legalizer] = MappingProxyType(
    {"relax.erf": _erf, "relax.nn.softmax": _softmax}
)
"""Legalizers by operator, of TVM's own approximations in float32, after Eigen and Cephes.

Tuned alone on two cores of an AMD Zen 4, 128x512 values of erf took 107 us before and 8.7 since,
2x128x128 of a softmax 39.8 and 11.4. The largest difference of erf is 4e-7, that of the
exponential in a softmax 4e-6 of its value. The exponential by itself stays libm's: the
approximation has no infinity.
"""
