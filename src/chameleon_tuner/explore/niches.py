"""Candidates by their micro-kernels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def first_of_each(niches: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which are the first of their niche, (n,)."""
    first = np.zeros(len(niches), dtype=bool)
    first[np.unique(niches, return_index=True)[1]] = True
    return first
