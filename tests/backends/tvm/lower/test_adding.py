"""Sums of rows in any order: vectorised, as exact as before, and nothing else is rearranged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm import relax, te
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.code import Compiled
from chameleon_tuner.backends.tvm.lower.kernel import compile_untuned
from chameleon_tuner.backends.tvm.targets import adding_freely, resolve_target, vector_bits

Array = np.ndarray[Any, Any]

TARGET = resolve_target("auto", 2)


def row_sums(x: Any) -> Any:
    k = te.reduce_axis((0, x.shape[1]), "k")
    return te.compute((x.shape[0],), lambda i: te.sum(x[i, k], k), "sums")


def compiled(compute: Callable[[Any], Any], shape: tuple[int, int]) -> Callable[[Array], Array]:
    """Return a kernel of a function, as it is compiled for a library."""
    x = te.placeholder(shape, "float32", "x")
    kernel = compile_untuned(IRModule({"main": te.create_prim_func([x, compute(x)])}), TARGET)

    def run(values: Array) -> Array:
        [_, (extents, dtype)] = kernel.shapes
        y = tvm.runtime.tensor(np.empty(extents, dtype))
        kernel(tvm.runtime.tensor(values), y)
        return np.asarray(y.numpy())

    return run


@pytest.mark.parametrize("length", [1, 7, 197, 1024, 4099])
def test_sums_of_rows(length: int) -> None:
    x = np.random.default_rng(0).normal(size=(64, length)).astype(np.float32)
    right = x.astype(np.float64).sum(axis=1)
    error = np.abs(compiled(row_sums, x.shape)(x) - right)
    assert (error <= 1e-6 * np.abs(x).astype(np.float64).sum(axis=1) + 1e-30).all()


def test_nothing_but_the_order_of_sums_is_free() -> None:
    """Sums that cancel are kept: LLVM drops them only where the sign of zero does not matter."""
    x = te.placeholder((64, 197), "float32", "x")
    module = IRModule({"main": te.create_prim_func([x, row_sums(x)])})
    code = tvm.compile(module, adding_freely(TARGET)).mod.inspect_source("ll")
    sums = [line for line in code.splitlines() if " fadd " in line]
    assert any("reassoc" in line for line in sums)
    assert any(f"<{vector_bits(TARGET) // 32} x float>" in line for line in sums)
    assert not any(flag in line for line in sums for flag in ("nsz", "nnan", "ninf", "fast"))


def test_the_models_that_are_compared_with_are_compiled_as_by_tvm() -> None:
    module = relax.BlockBuilder().get()
    for lean in (True, False):
        made = Compiled(module, [], TARGET, lean=lean)
        assert ("fast-math-reassoc" in made._compiled_for.attrs) is lean
    gpu = Target({"kind": "cuda", "arch": "sm_80"})
    assert adding_freely(gpu) is gpu
    free = adding_freely(TARGET)
    assert {**free.attrs, "fast-math-reassoc": None} == {**TARGET.attrs, "fast-math-reassoc": None}
