"""Transcendental functions as straight-line code, against float64 on random bits of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm import te, tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.mathematics import FUNCTIONS, POWERS, without_calls
from chameleon_tuner.backends.tvm.targets import resolve_target

Array = np.ndarray[Any, Any]

TARGET = resolve_target("auto", 1)
LANES = 16
COUNT = 1 << 18

REFERENCES: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "erf": special.erf,
}
MOST_ULPS = {"exp": 2, "exp2": 2, "exp10": 3, "log": 3, "log10": 3, "log1p": 3, "sigmoid": 3}
WHERE_IT_HAPPENS = {
    "exp": (-105, 90),
    "exp2": (-151, 129),
    "exp10": (-46, 39),
    "sigmoid": (-105, 105),
    "log": (0, 10),
    "log10": (0, 10),
    "log1p": (-1, 5),
    "tanh": (-10, 10),
    "erf": (-5, 5),
}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.2e-38, 1.0, -1.0, 3e38, -3e38]


def module_of(
    compute: Callable[[Any], Any], vectorised: bool, dtype: str = "float32", count: int = COUNT
) -> IRModule:
    """Return a kernel that computes a function of every element."""
    x = te.placeholder((count,), dtype, "x")
    y = te.compute((count,), lambda i: compute(x[i]), "y")
    schedule = Schedule(IRModule({"main": te.create_prim_func([x, y])}))
    if vectorised:
        [loop] = schedule.get_loops(schedule.get_sblock("y"))
        schedule.vectorize(schedule.split(loop, [None, LANES])[1])
    return schedule.mod


def run(module: IRModule, x: Array) -> Array:
    """Compile a kernel, and run it."""
    kernel = tvm.compile(without_calls(module, TARGET), TARGET)
    y = tvm.runtime.tensor(np.zeros_like(x))
    kernel["main"](tvm.runtime.tensor(x), y)
    return np.asarray(y.numpy())


def arguments(name: str) -> Array:
    """Return special values, random bits, and numbers from where the function is no constant."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, COUNT // 2, dtype=np.uint64).astype(np.uint32)
    found = rng.uniform(*WHERE_IT_HAPPENS[name], COUNT // 2)
    all_of_them = np.concatenate([bits.view(np.float32), found.astype(np.float32)])
    all_of_them[: len(SPECIAL)] = SPECIAL
    return all_of_them


def test_every_function_has_a_reference() -> None:
    assert set(REFERENCES) == set(FUNCTIONS)


@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_a_few_units_in_the_last_place(name: str, vectorised: bool) -> None:
    x = arguments(name)
    got = run(module_of(getattr(tirx, name), vectorised), x)
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.float64))
        if name == "sigmoid":
            exact = np.where(x < -87, 0, exact)
        right = exact.astype(np.float32)
    usual = np.isfinite(right)
    np.testing.assert_array_equal(got[~usual], right[~usual])  # infinities and NaN
    ulps = np.abs(got[usual].astype(np.float64) - exact[usual]) / np.spacing(np.abs(right[usual]))
    assert ulps.max() <= MOST_ULPS.get(name, 7)
    zeros = right == 0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(right[zeros]))


def test_a_gelu_of_a_large_negative_number_is_zero() -> None:
    x = -np.linspace(6, 1e30, COUNT, dtype=np.float32)
    got = run(module_of(lambda v: v * 0.5 * (1.0 + tirx.erf(v * 0.70710678)), True), x)
    assert (got == 0).all()


@pytest.mark.parametrize("exponent", [*POWERS, 0.5, 2.5])
def test_powers(exponent: float) -> None:
    x = np.random.default_rng(0).uniform(0.01, 100, 1024).astype(np.float32)
    module = module_of(lambda v: tirx.power(v, tirx.const(exponent, "float32")), True, count=1024)
    np.testing.assert_allclose(run(module, x), x.astype(np.float64) ** exponent, rtol=1e-6)


def test_the_reciprocal_of_a_root() -> None:
    x = np.random.default_rng(0).uniform(0.01, 100, 1024).astype(np.float32)
    got = run(module_of(tirx.rsqrt, True, count=1024), x)
    np.testing.assert_allclose(got, x.astype(np.float64) ** -0.5, rtol=3e-7)


@pytest.mark.parametrize("name", ["exp", "erf", "sigmoid", "tanh"])
def test_half_precision_is_computed_in_single(name: str) -> None:
    x = np.linspace(-8, 8, 1024).astype(np.float16)
    got = run(module_of(getattr(tirx, name), True, "float16", 1024), x)
    right = REFERENCES[name](x.astype(np.float64))
    np.testing.assert_allclose(got, right, rtol=2**-10, atol=2**-24)


def assembly(module: IRModule) -> str:
    """Return the machine code of a kernel as text."""
    return str(tvm.compile(without_calls(module, TARGET), TARGET).mod.inspect_source("asm"))


@pytest.mark.parametrize("name", [*FUNCTIONS, "rsqrt"])
def test_nothing_is_called(name: str) -> None:
    module = module_of(getattr(tirx, name), True, count=1024)
    code = assembly(module)
    assert f"{name}f" not in code
    assert "chameleon" not in code
    assert without_calls(module, Target({"kind": "cuda", "arch": "sm_80"})) is module


def test_every_vector_of_an_unrolled_tile_is_straight_line_code() -> None:
    """With names of TensorIR, which TVM replaces by their meanings, this took half a minute."""
    x = te.placeholder((4, 8, 24), "float32", "x")
    gelu = te.compute(x.shape, lambda i, j, k: x[i, j, k] * (1.0 + tirx.erf(x[i, j, k])), "y")
    y = te.compute(x.shape, lambda i, j, k: tirx.tanh(gelu[i, j, k]), "z")
    schedule = Schedule(IRModule({"main": te.create_prim_func([x, y])}))
    schedule.compute_inline(schedule.get_sblock("y"))
    _, row, column = schedule.get_loops(schedule.get_sblock("z"))
    schedule.unroll(row)
    schedule.vectorize(column)
    code = assembly(schedule.mod)
    assert not any(name in code for name in ("erff", "tanhf", "chameleon"))
    values = np.random.default_rng(0).normal(size=(4, 8, 24)).astype(np.float32)
    right = np.tanh(values * (1 + special.erf(values)))
    np.testing.assert_allclose(run(schedule.mod, values), right, rtol=2e-6, atol=1e-6)


CLIPS: dict[str, tuple[Callable[[Any], Any], Callable[[Array], Array]]] = {
    "relu": (lambda v: tirx.max(v, _constant(0.0, v)), lambda x: np.maximum(x, 0)),
    "clip": (
        lambda v: tirx.max(tirx.min(v, _constant(6.0, v)), _constant(-1.0, v)),
        lambda x: np.clip(x, -1, 6),
    ),
    "of an expression": (
        lambda v: tirx.min(_constant(1.0, v), tirx.max(v * v + v, _constant(0.5, v))),
        lambda x: np.minimum(1, np.maximum(x * x + x, 0.5)),
    ),
}


def _constant(value: float, like: Any) -> Any:
    return tirx.const(value, str(like.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("name", CLIPS)
def test_limits_keep_nan_and_infinity(name: str, vectorised: bool, dtype: str) -> None:
    compute, reference = CLIPS[name]
    x = np.resize(np.array([np.nan, np.inf, -np.inf, -3, -0.5, 0, 0.25, 2, 9], dtype), 1024)
    with np.errstate(invalid="ignore"):
        right = reference(x)
    got = run(module_of(compute, vectorised, dtype, 1024), x)
    np.testing.assert_allclose(got, right, rtol=1e-3)


def test_other_dtypes_and_other_functions_are_left_alone() -> None:
    for compute, dtype in ((tirx.exp, "float64"), (tirx.sin, "float32")):
        module = module_of(compute, True, dtype, 1024)
        tvm.ir.assert_structural_equal(without_calls(module, TARGET), module)


NESTED: dict[str, tuple[Callable[[Any], Any], Callable[[Array], Array]]] = {
    "softplus": (lambda v: tirx.log(1.0 + tirx.exp(v)), lambda x: np.log(1 + np.exp(x))),
    "mish": (
        lambda v: v * tirx.tanh(tirx.log1p(tirx.exp(v))),
        lambda x: x * np.tanh(np.log1p(np.exp(x))),
    ),
    "under a condition": (
        lambda v: tirx.tanh(tirx.if_then_else(v > 0, tirx.exp(v), tirx.log(1.0 - v))),
        lambda x: np.tanh(np.where(x > 0, np.exp(x), np.log(1 - np.minimum(x, 0)))),
    ),
    "where": (
        lambda v: tirx.sigmoid(tirx.Select(v > 0, tirx.exp(v), v)),
        lambda x: special.expit(np.where(x > 0, np.exp(x), x)),
    ),
    "twice": (
        lambda v: tirx.erf(tirx.exp(v) - tirx.exp(0.5 * v)),
        lambda x: special.erf(np.exp(x) - np.exp(0.5 * x)),
    ),
}


@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("name", NESTED)
def test_functions_of_functions(name: str, vectorised: bool) -> None:
    compute, reference = NESTED[name]
    x = np.linspace(-5, 5, 1024, dtype=np.float32)
    module = module_of(compute, vectorised, count=1024)
    assert "chameleon" not in assembly(module)
    got = run(module, x)
    np.testing.assert_allclose(got, reference(x.astype(np.float64)), rtol=2e-5, atol=1e-6)
