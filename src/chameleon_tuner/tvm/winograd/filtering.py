"""The matrices of minimal filtering, and weights put through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

KERNEL = 3
"""Rows and columns of the filters."""


@dataclass(frozen=True)
class Filtering:
    """The matrices of F(m, 3).

    Attributes:
        inputs: B^T, (m + 2, m + 2).
        weights: G, (m + 2, 3).
        outputs: A^T, (m, m + 2).
    """

    inputs: FloatArray
    weights: FloatArray
    outputs: FloatArray

    @property
    def span(self) -> int:
        """Inputs of a tile in one direction, m + 2."""
        return len(self.inputs)


def _filtering(inputs: Any, weights: Any, outputs: Any) -> Filtering:
    return Filtering(*(np.array(rows, dtype=np.float64) for rows in (inputs, weights, outputs)))


FILTERINGS = {
    2: _filtering(
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: _filtering(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}
"""By m; Lavin and Gray, section 4. Larger tiles save little more, and their matrices hold numbers
that cost digits."""


def transformed_weights(weights: npt.NDArray[Any], tile: int) -> npt.NDArray[Any]:
    """G w G^T of every pair of channels, summed in float64.

    Args:
        weights: (3, 3, inputs, outputs), as `HWIO` has them.
        tile: m.

    Returns:
        ((m + 2)^2, inputs, outputs), of the same dtype.
    """
    matrix = FILTERINGS[tile].weights
    wide = np.einsum("ar,rsio,bs->abio", matrix, weights.astype(np.float64), matrix, optimize=True)
    return np.ascontiguousarray(wide.reshape(-1, *weights.shape[2:]).astype(weights.dtype))
