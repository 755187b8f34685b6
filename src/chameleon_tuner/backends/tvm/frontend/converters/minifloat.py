"""Converters between float32 and narrow dtypes, which are held as bytes (see `frontend.narrow`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from tvm import relax, te, tirx

from chameleon_tuner.backends.tvm.frontend.converters.base import Node, Rule
from chameleon_tuner.backends.tvm.frontend.converters.expressions import (
    Expr,
    const,
    dtype_of,
    is_float,
    scalar,
)
from chameleon_tuner.backends.tvm.frontend.narrow import DECODE, ENCODE, FORMAT, carrier

_op: Any = relax.op


@dataclass(frozen=True)
class _Format:
    """A float of few bits.

    Attributes:
        mantissa: Bits of its mantissa.
        bias: What is added to exponents.
        sign: Its sign bit.
        largest: Bits of the largest finite number.
        infinite: Bits of what stands for numbers beyond it, without saturation.
        nan: Bits of NaN.
        minus_zero: Whether there is a negative zero.
    """

    mantissa: int
    bias: int
    sign: int
    largest: int
    infinite: int
    nan: int
    minus_zero: bool = True


_FORMATS = {
    "float8_e4m3fn": _Format(3, 7, 0x80, 0x7E, 0x7F, 0x7F),
    "float8_e4m3fnuz": _Format(3, 8, 0x80, 0x7F, 0x80, 0x80, False),
    "float8_e5m2": _Format(2, 15, 0x80, 0x7B, 0x7C, 0x7F),
    "float8_e5m2fnuz": _Format(2, 16, 0x80, 0x7F, 0x80, 0x80, False),
    "float4_e2m1fn": _Format(1, 1, 0x08, 0x07, 0x07, 0x08),
}


def _decode(node: Node) -> Expr:
    """Look every byte up in a table."""
    dtype = getattr(ml_dtypes, node.text(FORMAT))
    codes = np.arange(256, dtype=np.uint8)
    values = (codes % 16 if "float4" in node.text(FORMAT) else codes).view(dtype)
    return _op.take(const(values.astype(np.float32)), _op.astype(node.x, "int32"), 0)


def _encode(node: Node) -> Expr:
    name = node.text(FORMAT)
    if not name.startswith("float"):
        return _wrapped(node, node.x, name)
    return encoded(
        node, node.x, name, bool(node.attributes.get("saturate", 1)), node.text("round_mode", "up")
    )


def encoded(node: Node, data: Expr, name: str, saturate: bool = True, mode: str = "up") -> Expr:
    """Return the bits of float32 numbers in a narrower float.

    Args:
        node: The node under conversion.
        data: The numbers.
        name: Name of the narrow dtype.
        saturate: Whether the largest number stands for larger ones.
        mode: Rounding of powers of two: up, down or nearest.

    Returns:
        The bits, as bytes.
    """
    if name == "float8_e8m0fnu":
        return node.tensor_te(_powers, data, saturate, mode, primfunc_name_hint="encode")
    kind = _FORMATS[name]
    return node.tensor_te(lambda x: _bits(x, kind, saturate), data, primfunc_name_hint="encode")


def _bits(data: Any, kind: _Format, saturate: bool) -> Any:
    """Round to the nearest, to even in the middle, by counting steps of the number's size."""

    def element(*i: Any) -> Any:
        raw = tirx.reinterpret("uint32", data(*i))
        size = raw & tirx.const(0x7FFFFFFF, "uint32")
        exponent = tirx.max((size >> tirx.const(23, "uint32")).astype("int32") - 127, 1 - kind.bias)
        # The quotient by a power of two is exact: 2 ** (mantissa - exponent), made of its bits.
        inverse = tirx.reinterpret(
            "float32", (tirx.max(kind.mantissa - exponent + 127, 1) << 23).astype("uint32")
        )
        steps = tirx.nearbyint(tirx.reinterpret("float32", size) * inverse).astype("int32")
        code = ((exponent + (kind.bias - 1)) << kind.mantissa) + steps
        beyond = kind.largest if saturate else kind.infinite
        code = tirx.Select(tirx.any(code > kind.largest, exponent > 127), beyond, code)
        negative = raw != size
        if not kind.minus_zero:  # NaN is where it would be
            negative = tirx.all(negative, code != 0)
        code = tirx.Select(negative, code | kind.sign, code)
        nan = size > tirx.const(0x7F800000, "uint32")
        return tirx.Select(nan, kind.nan, code).astype("uint8")

    return te.compute(data.shape, element, name="encode")


def _powers(data: Any, saturate: bool, mode: str) -> Any:
    """Round to powers of two, of which the bits are the exponent."""

    def element(*i: Any) -> Any:
        raw = tirx.reinterpret("uint32", data(*i)) & tirx.const(0x7FFFFFFF, "uint32")
        exponent = (raw >> tirx.const(23, "uint32")).astype("int32")
        rest = (raw & tirx.const(0x7FFFFF, "uint32")).astype("int32")
        half = {"up": 0, "nearest": 0x3FFFFF}.get(mode, 0x7FFFFF)
        rounded = exponent + tirx.Select(rest > half, 1, 0)
        code = tirx.Select(rounded > 254, 254 if saturate else 255, rounded)
        return tirx.Select(raw > tirx.const(0x7F800000, "uint32"), 255, code).astype("uint8")

    return te.compute(data.shape, element, name="encode")


def _wrapped(node: Node, data: Expr, name: str) -> Expr:
    """Return the low bits of integers, with their sign if the dtype has one."""
    bits = int(name[-1])
    if is_float(dtype_of(data)):
        data = node.emit(_op.astype(data, "int32"))
    data = node.emit(_op.astype(data, "int32"))
    low = _op.bitwise_and(data, scalar(2**bits - 1, data))
    if name.startswith("int"):
        sign = scalar(2 ** (bits - 1), data)
        low = _op.subtract(_op.bitwise_xor(low, sign), sign)
    return _op.astype(low, carrier(name))


RULES: dict[str, Rule] = {DECODE: _decode, ENCODE: _encode}
