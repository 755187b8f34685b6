from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.backends.tvm.lower.exact import EXACT
from chameleon_tuner.backends.tvm.lower.graph import finish, fuse, lay_out
from chameleon_tuner.backends.tvm.targets import resolve_target

import tvm  # isort: skip
from tvm import relax  # isort: skip

NAN, INF = np.nan, np.inf
LEFT = np.array([[NAN, -INF, INF, -1, 0, 2, NAN, 3]] * 2, np.float32)
RIGHT = np.array([[1, NAN, 1, 1, 1, 1, NAN, 5]], np.float32)


def computed(build: Callable[..., Any], *arrays: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the result, and the number of kernels."""
    target = resolve_target("auto", 1)
    builder = relax.BlockBuilder()
    inputs = [
        relax.Var(f"x{n}", relax.TensorType(array.shape, array.dtype.name))
        for n, array in enumerate(arrays)
    ]
    with builder.function("main", inputs):
        with builder.dataflow():
            output = builder.emit_output(build(*inputs))
        builder.emit_func_output(output)
    fused = fuse(lay_out(builder.get(), target), target, EXACT)
    kernels = sum(isinstance(f, tvm.tirx.PrimFunc) for f in fused.functions.values())
    compiled = finish(fused, target)
    main = relax.VirtualMachine(compiled.executable, tvm.cpu())["main"]
    tensors = [tvm.runtime.tensor(array) for array in arrays]
    return main(*tensors, *compiled.weights).numpy(), kernels


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (relax.op.nn.relu, np.maximum(LEFT, 0)),
        (lambda x: relax.op.clip(x, 0, 2), np.clip(LEFT, 0, 2)),
        (lambda x: relax.op.maximum(x, relax.const(1.0, "float32")), np.maximum(LEFT, 1)),
        (lambda x: relax.op.minimum(relax.const(1.0, "float32"), x), np.minimum(LEFT, 1)),
        (lambda x: relax.op.max(x, [1]), np.max(LEFT, 1)),
        (lambda x: relax.op.min(x, [-1], True), np.min(LEFT, 1, keepdims=True)),
    ],
)
def test_of_one_tensor(build: Callable[..., Any], wanted: np.ndarray) -> None:
    found, kernels = computed(build, LEFT)
    np.testing.assert_array_equal(found, wanted)
    assert kernels == 1


@pytest.mark.parametrize(("op", "numpy"), [("maximum", np.maximum), ("minimum", np.minimum)])
def test_of_two_tensors(op: str, numpy: Any) -> None:
    found, _ = computed(getattr(relax.op, op), LEFT, RIGHT)
    np.testing.assert_array_equal(found, numpy(LEFT, RIGHT))
    found, _ = computed(getattr(relax.op, op), RIGHT[0], LEFT)
    np.testing.assert_array_equal(found, numpy(LEFT, RIGHT))


def test_minus_infinity_is_the_largest_of_nothing_else() -> None:
    found, _ = computed(lambda x: relax.op.max(x, [0]), np.full((3, 2), -INF, np.float32))
    assert np.isneginf(found).all()


def test_integers() -> None:
    x = np.array([[-5, 0, 7]], np.int32)
    found, _ = computed(lambda x: relax.op.maximum(x, relax.const(1, "int32")), x)
    assert found.tolist() == [[1, 1, 7]]
    found, _ = computed(lambda x: relax.op.min(x, [1]), x)
    assert found.tolist() == [-5]


def test_they_fuse_with_what_is_before_them() -> None:
    weight = relax.const(np.ones((4, 3), np.float32))
    x = np.ones((2, 4), np.float32)
    found, kernels = computed(lambda x: relax.op.nn.relu(relax.op.matmul(x, weight)), x)
    assert kernels == 1
    np.testing.assert_array_equal(found, np.full((2, 3), 4, np.float32))
