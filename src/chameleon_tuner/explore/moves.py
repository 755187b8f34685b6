"""Single moves of whole batches."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.space import INWARD, OUTWARD, STAY, DesignSpace, IntArray


def random_moves(space: DesignSpace, rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Each row (n, 1 + width) after one random move along one of its dimensions."""
    actions = np.full((len(rows), space.move_dims), STAY, dtype=np.int32)
    dims = rng.integers(space.move_dims, size=len(rows))
    actions[np.arange(len(rows)), dims] = rng.choice((OUTWARD, INWARD), size=len(rows))
    return space.move(rows, actions)


def all_neighbours(space: DesignSpace, rows: IntArray) -> IntArray:
    """All distinct rows one move away from any of rows (n, 1 + width), without these."""
    count = space.move_dims
    actions = np.full((2 * count, count), STAY, dtype=np.int32)
    dims = np.arange(count)
    actions[2 * dims, dims], actions[2 * dims + 1, dims] = OUTWARD, INWARD
    spread = np.repeat(rows, 2 * count, axis=0)
    moved = space.unique(space.move(spread, np.tile(actions, (len(rows), 1))))
    return moved[~np.isin(space.keys(moved), space.keys(rows))]
