from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chameleon_tuner.backends.tvm.rewrites.winograd.kernel import (
    FILTERINGS,
    KERNEL,
    transformed_weights,
)

TILES = sorted(FILTERINGS)
values = st.integers(-100, 100).map(float)


def correlated(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The direct way, on all that the filter fits."""
    side = len(pixels) - KERNEL + 1
    return sum(
        weights[r, s] * pixels[r : r + side, s : s + side]
        for r in range(KERNEL)
        for s in range(KERNEL)
    )


@given(st.data(), st.sampled_from(TILES))
def test_a_tile_is_what_the_direct_way_makes_of_it(data: st.DataObject, tile: int) -> None:
    f = FILTERINGS[tile]
    pixels = data.draw(arrays.arrays(np.float64, (f.span, f.span), elements=values))
    weights = data.draw(arrays.arrays(np.float64, (KERNEL, KERNEL), elements=values))
    transformed = transformed_weights(weights[:, :, None, None], tile).reshape(f.span, f.span)
    made = f.outputs @ (transformed * (f.inputs @ pixels @ f.inputs.T)) @ f.outputs.T
    assert np.allclose(made, correlated(pixels, weights), atol=1e-6)


@pytest.mark.parametrize("tile", TILES)
def test_weights_keep_their_channels_and_dtype(tile: int) -> None:
    weights = np.random.default_rng(0).random((3, 3, 5, 7), dtype=np.float32)
    transformed = transformed_weights(weights, tile)
    assert transformed.shape == ((tile + 2) ** 2, 5, 7)
    assert transformed.dtype == np.float32
    one = transformed_weights(weights[:, :, 2:3, 4:5], tile)
    assert np.array_equal(transformed[:, 2, 4], one[:, 0, 0])
