"""Sample synthesis: a configuration made of what the members of a cluster have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.sample.clusters import Labels
from chameleon_tuner.space import DesignSpace, IntArray

FloatArray = npt.NDArray[np.float64]


def synthesise(space: DesignSpace, rows: IntArray, labels: Labels, weights: FloatArray) -> IntArray:
    """The per-knob mode of every cluster, made canonical: (k, 1 + width).

    A cluster's sketch is its most common one, and only members of that sketch have a say on the
    knobs. Votes are weighted; ties go to the smaller index.

    Args:
        space: where rows live.
        rows: the members, (n, 1 + width).
        labels: the cluster of each, (n,), from 0 to k - 1, every one with members.
        weights: positive, (n,).
    """
    sketch = modes(rows[:, :1], labels, weights)[:, 0]
    agree = rows[:, 0] == sketch[labels]
    return space.canonical(modes(rows[agree], labels[agree], weights[agree]))


def modes(values: IntArray, labels: Labels, weights: FloatArray) -> IntArray:
    """The value with the most weight in every column of every cluster: (n, m) -> (k, m)."""
    clusters, span = int(labels.max()) + 1, int(values.max()) + 1
    columns = np.arange(values.shape[1])
    bins = (labels[:, None] * len(columns) + columns) * span + values
    votes = np.bincount(
        bins.ravel(), np.repeat(weights, len(columns)), clusters * len(columns) * span
    )
    most = votes.reshape(clusters, len(columns), span).argmax(axis=2)
    return np.asarray(most, dtype=np.int32)
