"""Distances between configurations, for clustering and for spreading a batch out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def standardised(features: npt.NDArray[np.floating]) -> FloatArray:
    """Features (n, d) with mean 0 and variance 1; constant ones become 0."""
    if not len(features):
        return features.astype(np.float64)
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    return np.asarray(centred / np.where(spread > 1e-9, spread, 1.0))


def squared_distances(left: FloatArray, right: FloatArray) -> FloatArray:
    """Between all pairs of rows: (n, d), (m, d) -> (n, m)."""
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))
