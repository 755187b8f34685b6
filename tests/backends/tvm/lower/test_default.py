"""Default schedules: the same outputs, in parallel and vectorised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm import te, topi
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.default import (
    SERIAL_WORK,
    scheduled_by_default,
    with_default_schedules,
)
from chameleon_tuner.backends.tvm.lower.kernel import argument_shapes
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.core.agreement import difference

TARGET = resolve_target("auto", 2)
NARROW = Target({"kind": "llvm", "mcpu": "haswell", "num-cores": 2})
WIDE = Target({"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2})


def tensor(*shape: int, name: str = "x") -> Any:
    return te.placeholder(shape, "float32", name)


def function(*tensors: Any) -> Any:
    return te.create_prim_func(list(tensors))


def convolution() -> Any:
    x, weight = tensor(1, 14, 14, 16), tensor(3, 3, 16, 32, name="w")
    bias = tensor(32, name="b")
    y = topi.nn.relu(topi.add(topi.nn.conv2d_nhwc(x, weight, 1, 1, 1), bias))
    return function(x, weight, bias, y)


def product(rows: int, inner: int, columns: int) -> Any:
    x, weight = tensor(rows, inner), tensor(inner, columns, name="w")
    return function(x, weight, topi.nn.matmul(x, weight))


def softmax() -> Any:
    x = tensor(64, 197)
    return function(x, topi.nn.softmax(x))


def pooling() -> Any:
    x = tensor(1, 32, 32, 24)
    y = topi.nn.pool2d(x, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1), "max", layout="NHWC")
    return function(x, y)


def several_outputs() -> Any:
    x = tensor(64, 512)
    y = te.compute((64, 512), lambda i, j: x[i, j] * 2.0, "y")
    return function(x, y, topi.exp(y), topi.sum(y, axis=1))


def everything_summed() -> Any:
    x = tensor(64, 512)
    return function(x, topi.sum(x))


def argmax() -> Any:
    x = tensor(64, 512)
    return function(x, topi.argmax(x, axis=1))


def joined(axis: int, *lengths: int) -> Any:
    """Return a concatenation with what is fused to it."""
    shape = [4, 24, 16, 40]
    tensors = [
        tensor(*shape[:axis], length, *shape[axis + 1 :], name=f"x{n}")
        for n, length in enumerate(lengths)
    ]
    return function(*tensors, topi.nn.relu(topi.concatenate(tensors, axis)))


def padded() -> Any:
    x = tensor(4, 30, 30, 16)
    return function(x, topi.nn.pad(x, (0, 1, 1, 0), (0, 1, 1, 0)))


KERNELS = {
    "convolution": convolution(),
    "product": product(64, 48, 96),
    "product of primes": product(61, 47, 97),
    "one row": product(1, 512, 640),
    "softmax": softmax(),
    "pooling": pooling(),
    "transpose": function(x := tensor(64, 48, 32), topi.transpose(x, (2, 0, 1))),
    "several outputs": several_outputs(),
    "everything summed": everything_summed(),
    "argmax": argmax(),
    "joined channels": joined(3, 32, 8, 64),
    "joined odd channels": joined(3, 5, 8, 3),
    "joined rows": joined(1, 2, 5),
    "joined images": joined(0, 1, 2),
    "padded": padded(),
}


def outputs(kernel: Any, target: Target) -> list[Any]:
    """Run a kernel on arrays that are the same for all schedules."""
    run = tvm.compile(IRModule({"main": kernel}), target)["main"]
    rng = np.random.default_rng(0)
    shapes = argument_shapes(IRModule({"main": kernel}))
    tensors = [tvm.runtime.tensor(rng.standard_normal(s).astype(d)) for s, d in shapes]
    run(*tensors)
    return [found.numpy() for found in tensors]


@pytest.mark.parametrize("name", KERNELS)
def test_outputs_are_the_same(name: str) -> None:
    kernel = KERNELS[name]
    scheduled = scheduled_by_default(kernel, TARGET)
    assert "T.parallel" in scheduled.script() or name == "everything summed"
    assert difference(outputs(scheduled, TARGET), outputs(kernel, TARGET)) < 1e-5


@pytest.mark.parametrize("name", ["convolution", "product", "one row", "pooling", "transpose"])
@pytest.mark.parametrize(("target", "lanes"), [(NARROW, 8), (WIDE, 16)])
def test_neighbours_are_computed_at_once(name: str, target: Target, lanes: int) -> None:
    text = scheduled_by_default(KERNELS[name], target).script()
    assert any(f"T.vectorized({n * lanes // 2})" in text for n in (1, 2, 4, 8))


def test_small_kernels_stay_serial() -> None:
    small = product(8, 8, SERIAL_WORK // 64 - 1)
    assert scheduled_by_default(small, TARGET).same_as(small)


def test_scheduled_kernels_stay_as_they_are() -> None:
    done = KERNELS["product"].with_attr("tirx.is_scheduled", True)
    other = KERNELS["softmax"]
    found = with_default_schedules(IRModule({"done": done, "other": other}), TARGET)
    tvm.ir.assert_structural_equal(found["done"], done)
    assert found["other"].attrs["tirx.is_scheduled"]
    assert "T.parallel" in found["other"].script()


@pytest.mark.parametrize("name", ["joined channels", "joined odd channels", "joined rows"])
def test_joined_arrays_have_a_loop_each(name: str) -> None:
    text = scheduled_by_default(KERNELS[name], NARROW).script()
    assert text.count("_partition") >= 2
    assert text.count("T.parallel") == 1
