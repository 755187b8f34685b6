"""Transcendental functions of float32 as straight-line code, which LLVM vectorises.

LLVM calls libm for every single value of a vector: in a matrix product with a fused GELU most of
the time is spent there. Here a function is a polynomial on a reduced range, between tricks with the
bits of the exponent (Cody and Waite, Software Manual for the Elementary Functions, 1980). The
polynomials are fitted by `benchmarks/approximations.py`, and
`tests/backends/tvm/lower/test_mathematics.py` measures the errors:

| function | largest error in units of the last place |
|---|---|
| exp, exp2 | 2 |
| exp10 | 3 |
| log, log10, log1p | 3 |
| sigmoid | 3 |
| tanh, erf | 7 |

Infinities, NaN, the sign of zero and denormal inputs and outputs are right. The power of a constant
is a product, a root, or their reciprocal where the exponent is one of `POWERS`. Other powers and
the trigonometric functions call libm as before: an error of one unit in a logarithm is one of a
thousand in a large power, and large angles are reduced with more digits than a float32 has.

A function of another one, such as the logarithm in a softplus, stays a call; the inner one is code.

The functions are operators of their own, into which a kernel's are renamed when it is compiled.
TVM's baselines, which are not renamed, keep libm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call, IRModule, Op
from tvm.ir import _ffi_api as ir_api
from tvm.target import Target
from tvm.tirx.op import register_intrin_lowering

from chameleon_tuner.backends.tvm.targets import is_gpu

EXP = (0.499999934, 0.166665206, 0.0416683881, 0.0083687169, 0.00138145984)
LOG = (
    *(0.33333216, -0.249997977, 0.20010406, -0.166804873),
    *(0.140058683, -0.121842623, 0.139844398, -0.128916787),
)
ERF = (
    (1.12837915, 0.190782078, 0.0527900242, 0.00377952627, 0.000284805496, 2.04196801e-06),
    (1.0, 0.502408934, 0.114256771, 0.0149972716, 0.00116519031, 3.80038835e-05),
)
TANH = (
    (0.999999979, 0.133797066, 0.00349402102, 2.058326e-05, 1.3318774e-08),
    (1.0, 0.467130218, 0.0258710217, 0.000328307072, 7.7618954e-07),
)
"""Polynomials and quotients of two, from the constants upwards; what of, see
`benchmarks/approximations.py`."""

_LN2_HIGH, _LN2_LOW = 355 / 512, float(np.float32(math.log(2) - 355 / 512))
"""The logarithm of 2 in two parts: products of the first with small integers are exact."""

_LG2_HIGH, _LG2_LOW = 1233 / 4096, float(np.float32(math.log10(2) - 1233 / 4096))
"""The decimal logarithm of 2, likewise."""

_ROUNDER = 1.5 * 2**23
"""Added to a small number, it leaves no room for a fraction: the number is rounded."""

_ROUNDER_BITS = 0x4B400000
_ONE_BITS = 0x3F800000
_TWO_THIRDS_BITS = 0x3F2AAAAB


class _Code:
    """Straight-line code, whose values are named once and used as often as they are needed.

    Args:
        like: An expression with the dtype and the number of lanes of all others.
    """

    def __init__(self, like: Any) -> None:
        self.dtype = str(like.ty.dtype)
        self.integers = self.dtype.replace("float", "int")
        self._named: list[tuple[Any, Any]] = []

    def let(self, value: Any) -> Any:
        """Name a value."""
        name = tirx.Var("t", str(value.ty.dtype))
        self._named.append((name, value))
        return name

    def result(self, value: Any) -> Any:
        """Return the whole code as an expression."""
        for name, meant in reversed(self._named):
            value = tirx.Let(name, meant, value)
        return value

    def number(self, value: float) -> Any:
        """Return a constant."""
        return tirx.const(value, self.dtype)

    def integer(self, value: int) -> Any:
        """Return an integer constant."""
        return tirx.const(value, self.integers)

    def bits(self, value: Any) -> Any:
        """Return the bits of a number as an integer."""
        return self.let(tirx.reinterpret(self.integers, value))

    def of_bits(self, bits: Any) -> Any:
        """Return the number with these bits."""
        return self.let(tirx.reinterpret(self.dtype, bits))

    def polynomial(self, coefficients: Sequence[float], x: Any) -> Any:
        """Return a polynomial by Horner's rule."""
        value = self.number(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = value * x + self.number(coefficient)
        return self.let(value)

    def within(self, x: Any, low: float, high: float) -> Any:
        """Return a number limited to a range; NaN stays NaN.

        Args:
            x: The number.
            low: Lower end of the range.
            high: Upper end of the range.

        Returns:
            The limited number.
        """
        x = self.let(x)
        below = self.let(tirx.Select(x > self.number(high), self.number(high), x))
        return self.let(tirx.Select(below < self.number(low), self.number(low), below))

    def magnitude(self, x: Any) -> Any:
        """Return a number without its sign."""
        return self.of_bits(self.bits(x) & self.integer(0x7FFFFFFF))


Function = Callable[[_Code, Any], Any]
"""Adds a function of a value to the code, and returns its result."""


def _scaled(code: _Code, r: Any, rounded: Any) -> Any:
    """Return e^r 2^n.

    Args:
        code: The code.
        r: At most half of the logarithm of 2.
        rounded: n after the rounder was added to it; from -160 to 160.
    """
    power = code.let(code.polynomial(EXP, r) * (r * r) + r + code.number(1.0))
    n = code.let(code.bits(rounded) - code.integer(_ROUNDER_BITS))
    half = code.let(n >> code.integer(1))  # 2^n itself may be no float32 where the result is one
    one = code.integer(_ONE_BITS)
    first = code.of_bits((half << code.integer(23)) + one)
    second = code.of_bits(((n - half) << code.integer(23)) + one)
    return code.let(power * first * second)


Reduction = Callable[[_Code, Any, Any], Any]
"""Takes the code, x and n, and returns the natural logarithm of base^x / 2^n."""


def _exponential(base_log2: float, low: float, high: float, reduced: Reduction) -> Function:
    """Return a power with a constant base.

    Args:
        base_log2: The binary logarithm of the base.
        low: The result is zero from here downwards.
        high: The result is infinite from here upwards.
        reduced: What is left of x where the power of 2 is taken out.
    """

    def power(code: _Code, x: Any) -> Any:
        x = code.within(x, low, high)
        rounded = code.let(x * code.number(base_log2) + code.number(_ROUNDER))
        n = code.let(rounded - code.number(_ROUNDER))
        return _scaled(code, code.let(reduced(code, x, n)), rounded)

    return power


def _natural(code: _Code, x: Any, n: Any) -> Any:
    return x - n * code.number(_LN2_HIGH) - n * code.number(_LN2_LOW)


def _binary(code: _Code, x: Any, n: Any) -> Any:
    return (x - n) * code.number(math.log(2))


def _decimal(code: _Code, x: Any, n: Any) -> Any:
    rest = x - n * code.number(_LG2_HIGH) - n * code.number(_LG2_LOW)
    return rest * code.number(math.log(10))


_exp = _exponential(1 / math.log(2), -104.5, 89.5, _natural)
_exp2 = _exponential(1.0, -151.0, 129.0, _binary)
_exp10 = _exponential(1 / math.log10(2), -45.5, 38.75, _decimal)


def _log(code: _Code, x: Any) -> Any:
    """Return n log(2) + log(m) for x = 2^n m, where m is from 2/3 to 4/3."""
    tiny = x < code.number(2.0**-126)  # not named: TVM binds no vector of booleans
    normal = code.let(tirx.Select(tiny, x * code.number(2.0**23), x))
    shifted = code.let(code.bits(normal) - code.integer(_TWO_THIRDS_BITS))
    exponent = code.let(shifted >> code.integer(23))
    mantissa = (shifted & code.integer(0x7FFFFF)) + code.integer(_TWO_THIRDS_BITS)
    r = code.let(code.of_bits(mantissa) - code.number(1.0))
    n = code.let(
        tirx.Cast(code.dtype, exponent) - tirx.Select(tiny, code.number(23.0), _zero(code))
    )
    square = code.let(r * r)
    tail = code.polynomial(LOG, r) * (square * r) + n * code.number(_LN2_LOW)
    finite = code.let((tail - square * code.number(0.5)) + r + n * code.number(_LN2_HIGH))
    infinite = code.number(math.inf)
    positive = tirx.Select(x < infinite, finite, x)  # infinity and NaN are their own logarithms
    other = tirx.Select(x == _zero(code), -infinite, x + code.number(math.nan))
    return code.let(tirx.Select(x > _zero(code), positive, other))


def _zero(code: _Code) -> Any:
    return code.number(0.0)


def _log10(code: _Code, x: Any) -> Any:
    return code.let(_log(code, x) * code.number(1 / math.log(10)))


def _log1p(code: _Code, x: Any) -> Any:
    """Return log(1 + x), with what was lost when 1 + x was rounded (Goldberg 1991, theorem 4)."""
    whole = code.let(x + code.number(1.0))
    lost = code.let((x - (whole - code.number(1.0))) / whole)
    usual = tirx.And(whole > _zero(code), whole < code.number(math.inf))
    corrected = code.let(_log(code, whole) + tirx.Select(usual, lost, _zero(code)))
    return code.let(tirx.Select(x == _zero(code), x, corrected))


def _sigmoid(code: _Code, x: Any) -> Any:
    """Return 1 / (1 + e^-x), from the exponential that does not grow: it may end in denormals."""
    small = _exp(code, _zero(code) - code.magnitude(x))
    numerator = tirx.Select(x < _zero(code), small, code.number(1.0))
    return code.let(numerator / (small + code.number(1.0)))


def _odd(quotient: tuple[Sequence[float], Sequence[float]], end: float) -> Function:
    """Return an odd function that is x P(x^2) / Q(x^2), and 1 at the end and beyond.

    The quotient is fitted to a little before the end, where it is more than 1, so that a GELU of a
    large negative number is zero.
    """

    def odd(code: _Code, x: Any) -> Any:
        x = code.within(x, -end, end)
        square = code.let(x * x)
        above, below = (code.polynomial(part, square) for part in quotient)
        return code.within(x * above / below, -1.0, 1.0)

    return odd


FUNCTIONS: dict[str, Function] = {
    "exp": _exp,
    "exp2": _exp2,
    "exp10": _exp10,
    "log": _log,
    "log10": _log10,
    "log1p": _log1p,
    "sigmoid": _sigmoid,
    "tanh": _odd(TANH, 9.6),
    "erf": _odd(ERF, 4.15),
}
"""The functions by the name that TVM has for them."""

_PREFIX = "chameleon."


def _register() -> None:
    """Make an operator of every function, which TVM can vectorise and lower for CPUs."""
    for name, function in FUNCTIONS.items():
        ir_api.RegisterOp(f"{_PREFIX}{name}", f"{name} of float32 without a call")
        operator = Op.get(f"{_PREFIX}{name}")
        operator.set_num_inputs(1)
        operator.set_attr("TVectorizable", True)
        operator.set_attr("TCallEffectKind", Op.get("tirx.exp").get_attr("TCallEffectKind"))
        register_intrin_lowering(operator.name, "llvm", f=_lowering(function))


def _lowering(function: Function) -> Callable[[Any], Any]:
    def lowered(call: Any) -> Any:
        code = _Code(call)
        return code.result(function(code, code.let(call.args[0])))

    return lowered


_register()


# -- into the operators


POWERS: dict[float, Callable[[Any], Any]] = {
    1.0: lambda x: x,
    2.0: lambda x: x * x,
    3.0: lambda x: x * x * x,
    4.0: lambda x: (x * x) * (x * x),
    -1.0: lambda x: tirx.const(1.0, str(x.ty.dtype)) / x,
    -2.0: lambda x: tirx.const(1.0, str(x.ty.dtype)) / (x * x),
}
"""Powers by their exponent."""

_WIDENED = ("float16", "bfloat16")


def without_calls(module: IRModule, target: Target) -> IRModule:
    """Return a module whose kernels compute transcendental functions by straight-line code.

    Args:
        module: A module before TVM lowers it; its kernels may be scheduled.
        target: The target; kernels for others than CPUs stay as they are.
    """
    if is_gpu(target):
        return module
    functions = {
        variable: function.with_body(tvm_ffi.structural_map(function.body, (Call, _renamed)))
        if isinstance(function, tirx.PrimFunc)
        else function
        for variable, function in module.functions.items()
    }
    return IRModule(functions, attrs=module.attrs)


def _renamed(call: Any) -> Any:
    """Return what a call of TVM's function is replaced by; others stay."""
    name = str(getattr(call.op, "name", "")).removeprefix("tirx.")
    if name not in (*FUNCTIONS, "rsqrt", "pow"):
        return call
    dtype = str(call.ty.dtype)
    if name in FUNCTIONS and dtype in ("float32", *_WIDENED):
        # TVM refuses a name whose meaning contains further names: the outer function stays a call.
        return call if _has_function(call.args[0]) else _function(name, call.args[0], dtype)
    if name == "rsqrt" and dtype == "float32":
        return tirx.const(1.0, dtype) / tirx.sqrt(call.args[0])
    exponent = call.args[-1]
    if name == "pow" and dtype == "float32" and isinstance(exponent, tirx.FloatImm):
        exact = POWERS.get(float(exponent.value))
        return exact(call.args[0]) if exact else call
    return call


def _has_function(argument: Any) -> bool:
    """Return whether an argument contains a function that is straight-line code by now."""
    found: list[Any] = []

    def see(call: Any) -> None:
        if str(getattr(call.op, "name", "")).startswith(_PREFIX):
            found.append(call)

    tvm_ffi.structural_walk(argument, (Call, see))
    return bool(found)


def _function(name: str, argument: Any, dtype: str) -> Any:
    """Return the call of a function, which is computed in float32."""
    operator, single = Op.get(f"{_PREFIX}{name}"), tvm.ir.PrimType("float32")
    if dtype == "float32":
        return Call(operator, [argument], ret_ty=single)
    return tirx.Cast(dtype, Call(operator, [tirx.Cast("float32", argument)], ret_ty=single))
