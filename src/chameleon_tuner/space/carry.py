"""Configurations carried over between design spaces of one structure and different extents."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.knob import Choice, IntArray, Knob, Location, Tile
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace

_INNER = 4.0
"""Weight of the innermost loop of a tile against each further one out, which weigh a quarter of the
one inside: the inner sizes decide what stays in registers and caches, the outer one is what is
left of the extent."""

_MOST = 4096
"""Values of two knobs up to whose product a table is made at once."""


def carried(rows: IntArray, source: DesignSpace, target: DesignSpace) -> IntArray:
    """Return the configurations of a space that are nearest to those of another.

    Every tile becomes the one with the nearest factors, on a logarithmic scale and from the
    innermost loop outwards; the outermost takes what is left. Choices become the nearest value,
    locations stay at their loop as far as they are legal.

    Args:
        rows: Configurations of `source`, shape (n, 1 + width).
        source: The space of the rows.
        target: Another space.

    Returns:
        Canonical rows of `target`, shape (m, 1 + width) with m <= n and in the same order; those of
        sketches that `target` does not have in the same structure are left out.
    """
    found = np.zeros((len(rows), 1 + target.width), dtype=np.int32)
    kept = np.zeros(len(rows), dtype=bool)
    pairs = zip(source.sketches, target.sketches, strict=False)
    for number, (before, after) in enumerate(pairs):
        mine = np.flatnonzero(rows[:, 0] == number)
        if not len(mine) or not _alike(before, after):
            continue
        kept[mine], found[mine, 0] = True, number
        for column, knobs in enumerate(zip(before.knobs, after.knobs, strict=True), start=1):
            found[mine, column] = _nearest(rows[mine, column], *knobs)
    return target.canonical(found[kept])


def _alike(before: Sketch, after: Sketch) -> bool:
    """Return whether two sketches have the same kinds of knobs, and tiles of as many loops."""
    return len(before.knobs) == len(after.knobs) and all(
        type(one) is type(other)
        and (not isinstance(one, Tile) or one.parts == getattr(other, "parts", 0))
        for one, other in zip(before.knobs, after.knobs, strict=True)
    )


def _nearest(indices: IntArray, before: Knob, after: Knob) -> IntArray:
    """Return the indices of the nearest values of another knob of the same kind, shape (n,)."""
    if before == after:
        return indices
    if isinstance(before, Location):
        return np.minimum(indices, len(after) - 1).astype(np.int32)
    old, new = _coordinates(before)[indices], _coordinates(after)
    step = max(1, _MOST // max(1, len(new)))
    nearest = [
        np.abs(old[start : start + step, None, :] - new[None]).sum(axis=2).argmin(axis=1)
        for start in range(0, len(old), step)
    ]
    return np.concatenate(nearest).astype(np.int32)


def _coordinates(knob: Knob) -> npt.NDArray[np.float64]:
    """Return a point for every value of a tile or a choice, shape (n, d)."""
    if isinstance(knob, Choice):
        values = np.array(knob.values, dtype=np.float64)[:, None]
        return np.sign(values) * np.log1p(np.abs(values))
    if isinstance(knob, Tile):
        inner = np.log2(knob.factors[:, 1:].astype(np.float64))
        return np.asarray(inner * _INNER ** np.arange(inner.shape[1]), dtype=np.float64)
    raise TypeError(f"{knob} has no coordinates")
