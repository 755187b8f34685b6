from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

Compute = Callable[..., list[np.ndarray]]

ODD = np.array([np.nan, -np.inf, np.inf, -7.0, -0.5, 0.0, 0.5, 3.0, 9.0], np.float32)
"""What swallows NaN or infinity shows it here."""


@pytest.mark.parametrize("op", ["Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Softsign", "Sigmoid"])
def test_nan_and_infinity_pass(op: str, agree: Compute) -> None:
    (found,) = agree(op, ODD, opset=17)
    assert np.isnan(found[0])


@pytest.mark.parametrize("shape", [(9,), (1, 9, 1, 1), (3, 3)])
def test_clip_of_nan_is_nan(shape: tuple[int, ...], compute: Compute) -> None:
    x = ODD.reshape(shape)
    (found,) = compute("Clip", x, np.float32(0), np.float32(6))
    np.testing.assert_array_equal(found, np.clip(x, 0, 6))
    (found,) = compute("Clip", x, opset=6, min=0.0, max=6.0)
    np.testing.assert_array_equal(found, np.clip(x, 0, 6))


def test_clip_of_integers(agree: Compute) -> None:
    agree("Clip", np.array([-5, 0, 5], np.int32), np.int32(-1), np.int32(2))


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("HardSwish", {}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("ThresholdedRelu", {"alpha": 2.0}),
        ("Shrink", {"lambd": 1.0, "bias": 0.5}),
        ("Softplus", {}),
        ("IsInf", {"detect_negative": 0}),
        ("IsNaN", {}),
        ("Sign", {}),
    ],
)
def test_others(op: str, attributes: dict[str, Any], agree: Compute) -> None:
    agree(op, ODD[1:] if op in ("Sign", "ThresholdedRelu") else ODD, **attributes)


@pytest.mark.parametrize("op", ["Exp", "Tanh", "Sqrt", "Log", "Round", "Floor"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions(op: str, dtype: str, agree: Compute) -> None:
    agree(op, np.linspace(0.1, 3, 12).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_erf(dtype: str, compute: Compute) -> None:
    x = np.linspace(-4, 4, 33).astype(dtype)
    (found,) = compute("Erf", x)
    assert found.dtype == dtype
    tolerance = 1e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(found, np.vectorize(math.erf)(x), atol=tolerance)


def test_softplus_and_mish_are_precise_where_they_are_small(compute: Compute) -> None:
    x = np.linspace(-20, 30, 101)
    wanted = np.log1p(np.exp(x))
    (found,) = compute("Softplus", x.astype("float32"))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    (found,) = compute("Mish", x.astype("float32"), opset=18)
    np.testing.assert_allclose(found, x * np.tanh(wanted), rtol=2e-6)


def test_minus_infinity_is_the_logarithm_of_zero(
    agree_chain: Compute, rng: np.random.Generator
) -> None:
    nodes = [
        helper.make_node("MatMul", ["x0", "x1"], ["product"]),
        helper.make_node("Relu", ["product"], ["positive"]),
        helper.make_node("Log", ["positive"], ["y"]),
    ]
    a, b = (rng.standard_normal(shape).astype("float32") for shape in ((4, 5), (5, 6)))
    (found,) = agree_chain(nodes, a, b)
    assert np.isneginf(found).any()
