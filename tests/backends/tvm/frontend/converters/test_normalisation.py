from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Compute = Callable[..., list[np.ndarray]]


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("outputs", [1, 3])
def test_layers(axis: int, outputs: int, agree: Compute, rng: np.random.Generator) -> None:
    x = numbers(rng, 2, 3, 4)
    scale, bias = numbers(rng, *x.shape[axis:]), numbers(rng, *x.shape[axis:])
    agree("LayerNormalization", x, scale, bias, axis=axis, outputs=outputs)


@pytest.mark.parametrize("axis", [-1, 1, -3])
def test_root_mean_square(axis: int, compute: Compute, rng: np.random.Generator) -> None:
    x = numbers(rng, 2, 3, 4)
    scale = numbers(rng, *x.shape[axis:])
    (found,) = compute("RMSNormalization", x, scale, opset=23, axis=axis, epsilon=1e-3)
    axes = tuple(range(axis % 3, 3))
    wanted = x / np.sqrt((x * x).mean(axes, keepdims=True) + 1e-3) * scale
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_groups(compute: Compute, rng: np.random.Generator) -> None:
    x = numbers(rng, 2, 4, 3, 3)
    grouped = x.reshape(2, 2, -1)
    spread = np.sqrt(grouped.var(-1, keepdims=True) + 1e-5)
    normal = ((grouped - grouped.mean(-1, keepdims=True)) / spread).reshape(x.shape)
    for opset, size in ((18, 2), (21, 4)):
        scale, bias = numbers(rng, size), numbers(rng, size)
        (found,) = compute("GroupNormalization", x, scale, bias, opset=opset, num_groups=2)
        wide = [np.repeat(p, 4 // size)[:, None, None] for p in (scale, bias)]
        np.testing.assert_allclose(found, normal * wide[0] + wide[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 3, 4)])
def test_instances_and_batches(
    shape: tuple[int, ...], agree: Compute, rng: np.random.Generator
) -> None:
    scale, bias, mean = (numbers(rng, 3) for _ in range(3))
    agree("InstanceNormalization", numbers(rng, *shape), scale, bias)
    variance = rng.random(3).astype("float32")
    agree("BatchNormalization", numbers(rng, *shape), scale, bias, mean, variance)


def test_responses_of_neighbours(agree: Compute, rng: np.random.Generator) -> None:
    agree("LRN", numbers(rng, 1, 6, 3, 3), size=5, alpha=0.2, beta=0.5, bias=2.0)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (11, 2), (13, 1), (13, -1)])
def test_softmax_of_all_opsets(
    op: str, opset: int, axis: int, agree: Compute, rng: np.random.Generator
) -> None:
    agree(op, numbers(rng, 2, 3, 4) * 5, opset=opset, axis=axis)


def test_softmax_of_minus_infinity(agree: Compute) -> None:
    x = np.array([[0, -np.inf, 1], [1, 2, -np.inf]], np.float32)
    agree("Softmax", x)


@pytest.mark.parametrize("p", [1, 2])
def test_norms(p: int, agree: Compute, rng: np.random.Generator) -> None:
    agree("LpNormalization", numbers(rng, 3, 4), p=p, axis=0)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"is_causal": 1}, {"scale": 0.5, "softcap": 2.0}],
)
def test_attention_by_its_function(
    attributes: dict[str, Any], compute: Compute, rng: np.random.Generator
) -> None:
    q, k, v = numbers(rng, 1, 2, 4, 8), numbers(rng, 1, 2, 6, 8), numbers(rng, 1, 2, 6, 5)
    (found,) = compute("Attention", q, k, v, opset=23, **attributes)
    scores = q @ k.transpose(0, 1, 3, 2) * attributes.get("scale", 8**-0.5)
    if "softcap" in attributes:
        scores = np.tanh(scores / 2) * 2
    if attributes.get("is_causal"):
        scores = np.where(np.tri(4, 6, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = weights / weights.sum(-1, keepdims=True) @ v
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
