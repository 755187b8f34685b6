"""Niches: configurations that agree in what decides most, of any design space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.history import History
from chameleon_tuner.space import IntArray

DECIDING = 3
"""The number of knobs that make a niche where there are no tiles. Three knobs of the hub's kernels
have 60 to 90 combinations, a third of the trials of a short search."""


def niches(history: History, rows: IntArray) -> npt.NDArray[np.uint64]:
    """Return a hash of the niche of every row, shape (n,).

    The niche of a tiled kernel is its micro-kernel. Elsewhere it is the values of the knobs that
    have explained most of the measured times so far.

    Args:
        history: The outcomes of the task so far.
        rows: Configurations, shape (n, 1 + width).

    Returns:
        The hashes; equal hashes are equal niches.
    """
    space = history.space
    if space.tiled:
        return space.micro_kernels(rows)
    columns = np.sort(np.argsort(-explained(history), kind="stable")[:DECIDING])
    return space.keys(rows[:, [0, *(1 + columns)]])


def explained(history: History) -> npt.NDArray[np.float64]:
    """Return the share of the variance of log seconds that each knob explains alone, (width,).

    It is the correlation ratio, adjusted for the number of values: a knob with many values explains
    some of the variance by chance (Kelley 1935). A knob that explains less than chance has 0.
    """
    ran = np.isfinite(history.seconds)
    rows, logs = history.rows[ran, 1:], np.log(np.maximum(history.seconds[ran], 1e-12))
    shares = np.zeros(rows.shape[1])
    if len(logs) < 2 or np.ptp(logs) == 0:
        return shares
    centred = logs - logs.mean()
    for column in range(rows.shape[1]):
        _, group = np.unique(rows[:, column], return_inverse=True)
        counts, sums = np.bincount(group), np.bincount(group, weights=centred)
        between = (sums**2 / counts).sum() / (centred @ centred)
        left = len(logs) - len(counts)
        if len(counts) > 1 and left > 0:
            shares[column] = max(0.0, 1 - (1 - between) * (len(logs) - 1) / left)
    return shares
