from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

Compute = Callable[..., list[np.ndarray]]


def test_to_integers_and_back(agree: Compute) -> None:
    x, scale = np.array([[-3, 0.25, 0.75, 900]], np.float32), np.float32(0.5)
    (found,) = agree("QuantizeLinear", x, scale, np.uint8(3))
    assert found.dtype == np.uint8
    agree("QuantizeLinear", x, scale, np.int8(-3))
    agree("DequantizeLinear", found, scale, np.uint8(3))


def test_by_channel(agree: Compute, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4)).astype("float32") * 20
    scale, zero = np.array([0.1, 1, 2], np.float32), np.array([0, 5, -5], np.int8)
    (found,) = agree("QuantizeLinear", x, scale, zero, axis=1)
    agree("DequantizeLinear", found, scale, zero, axis=1)


def test_with_a_scale_from_the_data(agree: Compute, rng: np.random.Generator) -> None:
    agree("DynamicQuantizeLinear", rng.standard_normal((3, 4)).astype("float32"), outputs=3)


def test_products_of_integers(agree: Compute, compute: Compute, rng: np.random.Generator) -> None:
    a = rng.integers(0, 255, (3, 4)).astype("uint8")
    b = rng.integers(-128, 127, (4, 5)).astype("int8")
    (found,) = compute("MatMulInteger", a, b, np.uint8(100), np.int8(-3))
    # On some CPUs the sums of onnxruntime's saturate.
    np.testing.assert_array_equal(found, (a.astype("int32") - 100) @ (b.astype("int32") + 3))
    image = rng.integers(0, 255, (1, 2, 5, 5)).astype("uint8")
    weight = rng.integers(0, 255, (3, 2, 3, 3)).astype("uint8")
    agree("ConvInteger", image, weight, np.uint8(7), pads=[1, 1, 1, 1])


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_quantised_products(dtype: str, agree: Compute, rng: np.random.Generator) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max

    def integers(*shape: int) -> np.ndarray:
        return rng.integers(low, high, shape).astype(dtype)

    scales, zero = [np.float32(value) for value in (0.02, 0.03, 0.5)], np.array(3, dtype)
    agree(
        "QLinearMatMul", integers(3, 4), scales[0], zero, integers(4, 5), scales[1], zero,
        scales[2], zero,
    )  # fmt: skip
    bias = rng.integers(-100, 100, 3).astype("int32")
    agree(
        "QLinearConv", integers(1, 2, 5, 5), scales[0], zero, integers(3, 2, 3, 3), scales[1],
        zero, scales[2], zero, bias,
    )  # fmt: skip


def test_half_precision(compute: Compute, rng: np.random.Generator) -> None:
    a, b = (rng.standard_normal(shape).astype("float16") for shape in ((8, 64), (64, 8)))
    (found,) = compute("MatMul", a, b)
    assert found.dtype == np.float16
    wanted = a.astype("float32") @ b.astype("float32")
    np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
