"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

Compute = Callable[..., list[np.ndarray]]


def image(rng: np.random.Generator, *shape: int, dtype: str = "float32") -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def test_convolution(agree: Compute, compute: Compute, rng: np.random.Generator) -> None:
    x, w, b = image(rng, 1, 4, 9, 8), image(rng, 6, 2, 3, 3), image(rng, 6)
    options: dict[str, Any] = {"group": 2, "pads": [1, 0, 2, 1], "strides": [2, 1]}
    (single,) = agree("Conv", x, w, b, **options)
    (double,) = compute("Conv", *(array.astype("float64") for array in (x, w, b)), **options)
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5)


def test_convolution_in_half_precision(compute: Compute, rng: np.random.Generator) -> None:
    x, w = image(rng, 1, 16, 6, 6, dtype="float16"), image(rng, 8, 16, 3, 3, dtype="float16")
    (found,) = compute("Conv", x, w)
    (wanted,) = compute("Conv", x.astype("float32"), w.astype("float32"))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("shape", [(1, 2, 9), (1, 2, 9, 8), (1, 2, 5, 6, 7)])
def test_padding_by_name(
    auto_pad: str, shape: tuple[int, ...], agree: Compute, rng: np.random.Generator
) -> None:
    rank = len(shape) - 2
    kernel = [3] * rank
    agree(
        "Conv", image(rng, *shape), image(rng, 3, 2, *kernel), auto_pad=auto_pad, strides=[2] * rank
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2]},
        {"strides": [3, 2], "output_shape": [12, 8]},
        {"strides": [3, 2], "output_shape": [13, 8], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [1, 2]},
        {"dilations": [2, 2]},
        {"group": 2},
    ],
)
def test_transposed_convolution(
    attributes: dict[str, Any], agree: Compute, rng: np.random.Generator
) -> None:
    groups = attributes.get("group", 1)
    x, w = image(rng, 1, 4, 4, 3), image(rng, 4, 6 // groups, 3, 3)
    agree("ConvTranspose", x, w, image(rng, 6), **attributes)


def test_transposed_convolution_behind_a_convolution(
    agree_chain: Compute, rng: np.random.Generator
) -> None:
    nodes = [
        helper.make_node("Conv", ["x0", "x1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("ConvTranspose", ["b", "x2"], ["y"], strides=[2, 2]),
    ]
    agree_chain(nodes, image(rng, 1, 3, 6, 6), image(rng, 8, 3, 3, 3), image(rng, 8, 4, 2, 2))


POOLS = [
    {"kernel_shape": [3, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "pads": [0, 1, 2, 1]},
]


@pytest.mark.parametrize("attributes", POOLS)
def test_largest_of_a_window(
    attributes: dict[str, Any], agree: Compute, rng: np.random.Generator
) -> None:
    agree("MaxPool", image(rng, 1, 3, 8, 7), **attributes)
    agree("MaxPool", image(rng, 2, 3, 8, 7), outputs=2, **attributes)


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("count_include_pad", [0, 1])
def test_average_of_a_window(
    attributes: dict[str, Any],
    count_include_pad: int,
    agree: Compute,
    rng: np.random.Generator,
) -> None:
    options = {**attributes, "count_include_pad": count_include_pad}
    agree("AveragePool", image(rng, 1, 3, 8, 7), opset=19, **options)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
def test_over_the_whole_image(op: str, agree: Compute, rng: np.random.Generator) -> None:
    agree(op, image(rng, 2, 3, 4, 5))


def test_squeezed_behind_global_pooling(agree_chain: Compute, rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Conv", ["x0", "x1"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Squeeze", ["b"], ["y"], axes=[-1, -2]),
    ]
    (found,) = agree_chain(nodes, image(rng, 1, 3, 6, 6), image(rng, 8, 3, 3, 3), opset=11)
    assert found.shape == (1, 8)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_norm_of_a_window(p: int, agree: Compute, rng: np.random.Generator) -> None:
    agree("LpPool", image(rng, 1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2], p=p)
