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

Infinities, NaN, the sign of zero and denormal inputs and outputs are right, except that a sigmoid
below 1.6e-38 is zero. The power of a constant is a product, a root, or their reciprocal where the
exponent is one of `POWERS`. Other powers and the trigonometric functions call libm as before: an
error of one unit in a logarithm is one of a thousand in a large power, and large angles are reduced
with more digits than a float32 has.

The functions are operators of their own, into which a kernel's are renamed when it is compiled.
TVM's baselines, which are not renamed, keep libm. The code is LLVM's, which TVM imports with the
kernel. Expressions of TensorIR would do, but TVM puts the meaning of a name in its place wherever
it simplifies, and the code grows exponentially: eight vectors of GELUs in an unrolled tile took
4.2 s to compile, and take 0.07 s (`benchmarks/defaults.py`).
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call, IRModule, Op, StringImm
from tvm.ir import _ffi_api as ir_api
from tvm.s_tir import SBlock, SBlockRealize
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


@dataclass(frozen=True)
class _Value:
    """A value of LLVM code: its operators append instructions to the code.

    Attributes:
        code: The code.
        name: The name of the value, or a constant.
        kind: Its LLVM type without the lanes: `float`, `i32` or `i1`.
    """

    code: _Code
    name: str
    kind: str

    def _binary(self, operation: str, other: _Value | float, kind: str = "") -> _Value:
        value = self.code.constant(other, self.kind)
        line = f"{operation} {self.code.type_of(self.kind)} {self.name}, {value.name}"
        return self.code.append(line, kind or self.kind)

    def __add__(self, other: _Value | float) -> _Value:
        return self._binary("fadd" if self.kind == "float" else "add", other)

    def __sub__(self, other: _Value | float) -> _Value:
        return self._binary("fsub" if self.kind == "float" else "sub", other)

    def __mul__(self, other: _Value | float) -> _Value:
        return self._binary("fmul", other)

    def __truediv__(self, other: _Value | float) -> _Value:
        return self._binary("fdiv", other)

    def __and__(self, other: _Value | float) -> _Value:
        return self._binary("and", other)

    def __lshift__(self, other: _Value | float) -> _Value:
        return self._binary("shl", other)

    def __rshift__(self, other: _Value | float) -> _Value:
        return self._binary("ashr", other)

    def __lt__(self, other: _Value | float) -> _Value:
        return self._binary("fcmp olt", other, "i1")

    def __gt__(self, other: _Value | float) -> _Value:
        return self._binary("fcmp ogt", other, "i1")

    def equals(self, other: _Value | float) -> _Value:
        """Return where two numbers are equal."""
        return self._binary("fcmp oeq", other, "i1")


class _Code:
    """The body of a function of one vector in LLVM's language.

    Args:
        lanes: The number of lanes of all values.

    Attributes:
        lines: The instructions so far.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self.lines: list[str] = []

    def type_of(self, kind: str) -> str:
        """Return the LLVM type of values of a kind."""
        return kind if self._lanes == 1 else f"<{self._lanes} x {kind}>"

    def append(self, line: str, kind: str) -> _Value:
        """Append an instruction and return its value."""
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {line}")
        return _Value(self, name, kind)

    def constant(self, value: _Value | float, kind: str = "float") -> _Value:
        """Return a constant; what is a value already stays."""
        if isinstance(value, _Value):
            return value
        as_double = struct.pack(">d", float(np.float32(value))).hex()
        text = f"0x{as_double}" if kind == "float" else str(int(value))
        return _Value(self, text if self._lanes == 1 else f"splat ({kind} {text})", kind)

    def _converted(self, how: str, value: _Value, kind: str) -> _Value:
        line = f"{how} {self.type_of(value.kind)} {value.name} to {self.type_of(kind)}"
        return self.append(line, kind)

    def bits(self, value: _Value) -> _Value:
        """Return the bits of a number as an integer."""
        return self._converted("bitcast", value, "i32")

    def of_bits(self, bits: _Value) -> _Value:
        """Return the number with these bits."""
        return self._converted("bitcast", bits, "float")

    def number(self, integer: _Value) -> _Value:
        """Return an integer as a floating-point number."""
        return self._converted("sitofp", integer, "float")

    def select(self, condition: _Value, yes: _Value | float, no: _Value | float) -> _Value:
        """Return one value where a condition holds, and another elsewhere.

        Args:
            condition: The condition.
            yes: The value where it holds.
            no: The value elsewhere.

        Returns:
            The chosen values.
        """
        kind = self.type_of("float")
        yes, no = self.constant(yes), self.constant(no)
        line = f"{self.type_of('i1')} {condition.name}, {kind} {yes.name}, {kind} {no.name}"
        return self.append(f"select {line}", "float")

    def polynomial(self, coefficients: Sequence[float], x: _Value) -> _Value:
        """Return a polynomial by Horner's rule."""
        value = self.constant(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            value = value * x + coefficient
        return value

    def within(self, x: _Value, low: float, high: float) -> _Value:
        """Return a number limited to a range; NaN stays NaN.

        Args:
            x: The number.
            low: Lower end of the range.
            high: Upper end of the range.

        Returns:
            The limited number.
        """
        below = self.select(x > high, high, x)
        return self.select(below < low, low, below)


Function = Callable[[_Code, _Value], _Value]
"""Adds a function of a value to the code, and returns its result."""


def _power(code: _Code, r: _Value) -> _Value:
    """Return e^r for an r of at most half of the logarithm of 2."""
    return code.polynomial(EXP, r) * (r * r) + r + 1.0


def _scaled(code: _Code, r: _Value, rounded: _Value) -> _Value:
    """Return e^r 2^n.

    Args:
        code: The code.
        r: At most half of the logarithm of 2.
        rounded: n after the rounder was added to it; from -160 to 160.
    """
    n = code.bits(rounded) - _ROUNDER_BITS
    half = n >> 1  # 2^n itself may be no float32 where the result is one
    first = code.of_bits((half << 23) + _ONE_BITS)
    second = code.of_bits(((n - half) << 23) + _ONE_BITS)
    return _power(code, r) * first * second


Reduction = Callable[[_Value, _Value], _Value]
"""Takes x and n, and returns the natural logarithm of base^x / 2^n."""


def _exponential(base_log2: float, low: float, high: float, reduced: Reduction) -> Function:
    """Return a power with a constant base.

    Args:
        base_log2: The binary logarithm of the base.
        low: The result is zero from here downwards.
        high: The result is infinite from here upwards.
        reduced: What is left of x where the power of 2 is taken out.
    """

    def power(code: _Code, x: _Value) -> _Value:
        x = code.within(x, low, high)
        rounded = x * base_log2 + _ROUNDER
        n = rounded - _ROUNDER
        return _scaled(code, reduced(x, n), rounded)

    return power


def _natural(x: _Value, n: _Value) -> _Value:
    return x - n * _LN2_HIGH - n * _LN2_LOW


def _binary(x: _Value, n: _Value) -> _Value:
    return (x - n) * math.log(2)


def _decimal(x: _Value, n: _Value) -> _Value:
    return (x - n * _LG2_HIGH - n * _LG2_LOW) * math.log(10)


_exp = _exponential(1 / math.log(2), -104.5, 89.5, _natural)
_exp2 = _exponential(1.0, -151.0, 129.0, _binary)
_exp10 = _exponential(1 / math.log10(2), -45.5, 38.75, _decimal)


def _log(code: _Code, x: _Value) -> _Value:
    """Return n log(2) + log(m) for x = 2^n m, where m is from 2/3 to 4/3."""
    tiny = x < 2.0**-126
    normal = code.select(tiny, x * 2.0**23, x)
    shifted = code.bits(normal) - _TWO_THIRDS_BITS
    r = code.of_bits((shifted & 0x7FFFFF) + _TWO_THIRDS_BITS) - 1.0
    n = code.number(shifted >> 23) - code.select(tiny, 23.0, 0.0)
    square = r * r
    tail = code.polynomial(LOG, r) * (square * r) + n * _LN2_LOW
    finite = (tail - square * 0.5) + r + n * _LN2_HIGH
    positive = code.select(x < math.inf, finite, x)  # infinity and NaN are their own logarithms
    other = code.select(x.equals(0.0), -math.inf, x + math.nan)
    return code.select(x > 0.0, positive, other)


def _log10(code: _Code, x: _Value) -> _Value:
    return _log(code, x) * (1 / math.log(10))


def _log1p(code: _Code, x: _Value) -> _Value:
    """Return log(1 + x), with what was lost when 1 + x was rounded (Goldberg 1991, theorem 4)."""
    whole = x + 1.0
    lost = (x - (whole - 1.0)) / whole
    usual = (whole > 0.0) & (whole < math.inf)
    corrected = _log(code, whole) + code.select(usual, lost, 0.0)
    return code.select(x.equals(0.0), x, corrected)


_LEAST_SIGMOID = -87.0
"""The sigmoid is zero below: e^-x is a float32 down to here, and what is lost is 1.6e-38."""


def _sigmoid(code: _Code, x: _Value) -> _Value:
    """Return 1 / (1 + e^-x), and zero where that is next to nothing."""
    opposite = code.constant(0.0) - code.within(x, _LEAST_SIGMOID, -_LEAST_SIGMOID)
    rounded = opposite * (1 / math.log(2)) + _ROUNDER
    power = _power(code, _natural(opposite, rounded - _ROUNDER))
    growing = power * code.of_bits((code.bits(rounded) << 23) + _ONE_BITS)
    return code.select(x < _LEAST_SIGMOID, 0.0, code.constant(1.0) / (growing + 1.0))


def _odd(quotient: tuple[Sequence[float], Sequence[float]], end: float) -> Function:
    """Return an odd function that is x P(x^2) / Q(x^2), and 1 at the end and beyond.

    The quotient is fitted to a little before the end, where it is more than 1, so that a GELU of a
    large negative number is zero.
    """

    def odd(code: _Code, x: _Value) -> _Value:
        x = code.within(x, -end, end)
        square = x * x
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
    """Make an operator of every function, which TVM vectorises and replaces by a call on CPUs."""
    for name in FUNCTIONS:
        ir_api.RegisterOp(f"{_PREFIX}{name}", f"{name} of float32 as straight-line code")
        operator = Op.get(f"{_PREFIX}{name}")
        operator.set_num_inputs(1)
        operator.set_attr("TVectorizable", True)
        operator.set_attr("TCallEffectKind", Op.get("tirx.exp").get_attr("TCallEffectKind"))
        register_intrin_lowering(operator.name, "llvm", f=_lowering(name))


def _lowering(name: str) -> Callable[[Any], Any]:
    def lowered(call: Any) -> Any:
        dtype = str(call.ty.dtype)
        lanes = int(tvm.DataType(dtype).lanes)
        return tirx.call_pure_extern(dtype, _symbol(name, lanes), call.args[0])

    return lowered


def _symbol(name: str, lanes: int) -> str:
    return f"chameleon_{name}_{lanes}"


@functools.cache
def _definition(name: str, lanes: int) -> str:
    """Return a function of a vector in LLVM's language."""
    code = _Code(lanes)
    result = FUNCTIONS[name](code, _Value(code, "%x", "float"))
    kind = code.type_of("float")
    head = f"define {kind} @{_symbol(name, lanes)}({kind} %x) {{"
    return "\n".join([head, *code.lines, f"  ret {kind} {result.name}", "}"])


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


_IMPORT = "pragma_import_llvm"
"""The annotation with code of LLVM, whose functions TVM inlines wherever they are called."""


def without_calls(module: IRModule, target: Target) -> IRModule:
    """Return a module whose kernels compute transcendental functions by straight-line code.

    Their maxima and minima with constants, such as those of a relu or a clip, also keep NaN.

    Args:
        module: A module before TVM lowers it; its kernels may be scheduled.
        target: The target; kernels for others than CPUs stay as they are.
    """
    if is_gpu(target):
        return module
    functions = {
        variable: _with_definitions(function) if isinstance(function, tirx.PrimFunc) else function
        for variable, function in module.functions.items()
    }
    return IRModule(functions, attrs=module.attrs)


def _with_definitions(function: Any) -> Any:
    """Return a kernel that calls functions of ours, with the code of those."""
    used: set[str] = set()

    def renamed(call: Any) -> Any:
        name = str(getattr(call.op, "name", "")).removeprefix("tirx.")
        replaced = _renamed(call, name)
        if replaced is not call and name in FUNCTIONS:
            used.add(name)
        return replaced

    body = tvm_ffi.structural_map(
        function.body, ((Call, renamed), ((tirx.Max, tirx.Min), _keeping_nan))
    )
    if not used:
        return function.with_body(body)
    lanes = _lanes(body)
    code = "\n".join(_definition(name, count) for name in sorted(used) for count in lanes)
    return function.with_body(_importing(body, code))


def _keeping_nan(extreme: Any) -> Any:
    """Return a maximum or minimum with a constant that is NaN where the other operand is.

    Code for CPUs compares both, and takes the second where one is NaN. TVM puts constants there.
    """
    if not isinstance(extreme.b, tirx.FloatImm) or isinstance(extreme.a, tirx.FloatImm):
        return extreme
    return type(extreme)(extreme.b, extreme.a)


def _lanes(body: Any) -> list[int]:
    """Return the lengths of the vectors that the loops of a kernel may become."""
    extents: set[int] = set()

    def see(loop: Any) -> None:
        if loop.kind == tirx.ForKind.VECTORIZED and isinstance(loop.extent, tirx.IntImm):
            extents.add(int(loop.extent))

    tvm_ffi.structural_walk(body, (tirx.For, see))
    return sorted({1, *extents})


def _importing(body: Any, code: str) -> Any:
    """Return the body of a kernel with the code that it needs."""
    if not isinstance(body, SBlockRealize):
        return tirx.AttrStmt(tirx.const(0), _IMPORT, StringImm(code), body)
    block = body.block
    annotated = SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        block.body,
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        {**block.annotations, _IMPORT: StringImm(code)},
    )
    return SBlockRealize(body.iter_values, body.predicate, annotated)


def _renamed(call: Any, name: str) -> Any:
    """Return what a call of TVM's function is replaced by; others stay."""
    if name not in (*FUNCTIONS, "rsqrt", "pow"):
        return call
    dtype = str(call.ty.dtype)
    if name in FUNCTIONS and dtype in ("float32", *_WIDENED):
        return _function(name, call.args[0], dtype)
    if name == "rsqrt" and dtype == "float32":
        return tirx.const(1.0, dtype) / tirx.sqrt(call.args[0])
    exponent = call.args[-1]
    if name == "pow" and dtype == "float32" and isinstance(exponent, tirx.FloatImm):
        exact = POWERS.get(float(exponent.value))
        return exact(call.args[0]) if exact else call
    return call


def _function(name: str, argument: Any, dtype: str) -> Any:
    """Return the call of a function, which is computed in float32."""
    operator, single = Op.get(f"{_PREFIX}{name}"), tvm.ir.PrimType("float32")
    if dtype == "float32":
        return Call(operator, [argument], ret_ty=single)
    return tirx.Cast(dtype, Call(operator, [tirx.Cast("float32", argument)], ret_ty=single))
