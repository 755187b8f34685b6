from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from chameleon_tuner.backends.tvm.lower.graph import finish, fuse, lay_out
from chameleon_tuner.backends.tvm.targets import resolve_target

import tvm  # isort: skip
from tvm import relax  # isort: skip

SHAPE = (4, 96)
erf = np.vectorize(math.erf)


def computed(operator: Callable[[relax.Expr], relax.Expr], x: np.ndarray) -> np.ndarray:
    """What an operator becomes on this machine, run on an array."""
    builder = relax.BlockBuilder()
    variable = relax.Var("x", relax.TensorType(list(x.shape), "float32"))
    with builder.function("main", [variable]):
        with builder.dataflow():
            out = builder.emit_output(builder.emit(operator(variable)))
        builder.emit_func_output(out)
    target = resolve_target("auto", 2)
    compiled = finish(fuse(lay_out(builder.get(), target), target), target)
    machine = relax.VirtualMachine(compiled.executable, tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x), *compiled.weights).numpy()


def test_erf_is_right_to_the_last_digits() -> None:
    x = np.linspace(-6, 6, math.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    found = computed(relax.op.erf, x)
    assert np.abs(found - erf(x.astype(np.float64))).max() < 1e-6


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("masked", [False, True])
def test_a_softmax_is_right_where_it_is_masked_too(axis: int, masked: bool) -> None:
    rng = np.random.default_rng(0)
    x = (40 * rng.standard_normal(SHAPE)).astype(np.float32)
    if masked:
        x[rng.random(SHAPE) < 0.3] = -np.inf
        x[0] = 0.0
    found = computed(lambda v: relax.op.nn.softmax(v, axis=axis), x)
    powers = np.exp(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
    assert np.abs(found - powers / powers.sum(axis=axis, keepdims=True)).max() < 1e-5


def test_an_exponential_by_itself_has_infinity() -> None:
    x = np.full(SHAPE, 100.0, dtype=np.float32)
    assert np.isinf(computed(relax.op.exp, x)).all()
