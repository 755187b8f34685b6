from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from onnx import helper

Compute = Callable[..., list[np.ndarray]]

EMPTY = np.zeros(0, np.float32)
COORDINATES = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
MODES = [
    {"mode": "nearest", "nearest_mode": "floor"},
    {"mode": "nearest", "nearest_mode": "round_prefer_floor"},
    {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    {"mode": "nearest", "nearest_mode": "ceil"},
    {"mode": "linear"},
    {"mode": "cubic"},
]


@pytest.mark.parametrize("factor", [2.0, 1.7, 0.6])
def test_by_any_factor(factor: float, agree_chain: Compute, rng: np.random.Generator) -> None:
    """All modes in one model, which is compiled once.

    onnxruntime aligns corners with the rounded length of the result, ONNX with the exact one.
    """
    nodes = [
        helper.make_node(
            "Resize",
            ["x0", "", "x1"],
            [f"y{number}"],
            coordinate_transformation_mode=coordinates,
            **mode,
        )
        for number, (mode, coordinates) in enumerate(itertools.product(MODES, COORDINATES))
        if factor == 2 or coordinates != "align_corners"
    ]
    x = rng.standard_normal((1, 2, 7, 5)).astype("float32")
    scales = np.array([1, 1, factor, factor], np.float32)
    agree_chain(nodes, x, scales, opset=18, tolerance=1e-4)


def test_to_a_size(agree_chain: Compute, rng: np.random.Generator) -> None:
    x, sizes = rng.standard_normal((1, 2, 7, 5)).astype("float32"), np.array([1, 2, 10, 4])
    nodes = [
        helper.make_node("Resize", ["x0", "", "", "x1"], [f"y{mode}"], mode=mode)
        for mode in ("nearest", "linear", "cubic")
    ]
    agree_chain(nodes, x, sizes, opset=18)


def test_of_a_region(compute: Compute) -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    region = np.array([0, 0, 0.4, 0.6, 1, 1, 0.6, 0.8], np.float32)
    options = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    sizes = np.array([1, 1, 3, 3])
    (found,) = compute("Resize", x, region, EMPTY, sizes, opset=18, **options)
    rows, columns = np.linspace(0.4, 0.6, 3) * 3, np.linspace(0.6, 0.8, 3) * 3
    np.testing.assert_allclose(found[0, 0], 4 * rows[:, None] + columns, rtol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsampling(mode: str, agree: Compute, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, 2, 3, 4)).astype("float32")
    agree("Upsample", x, np.array([1, 1, 2, 3], np.float32), opset=9, mode=mode)
