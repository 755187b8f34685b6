"""What comes first among what is alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def first_of_each(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which are the first of their key, (n,): a mask keeps the order of what it is applied to."""
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
