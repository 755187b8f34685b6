"""A sketch: one loop structure, with the knobs that complete it to a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.knob import IntArray, Knob, Location, Tile


@dataclass(frozen=True)
class Sketch:
    """A tuple of knobs, in the order of the sampling instructions of its trace."""

    knobs: tuple[Knob, ...]

    @cached_property
    def sizes(self) -> IntArray:
        """The number of values of every knob, shape (knobs,)."""
        return np.array([len(knob) for knob in self.knobs], dtype=np.int32)

    @property
    def count(self) -> int:
        """The number of configurations if every location were legal."""
        return prod(len(knob) for knob in self.knobs)

    def canonical(self, indices: IntArray) -> IntArray:
        """Replace every illegal location by the one that TVM would take.

        The indices and the result have shape (n, knobs).
        """
        result: IntArray = indices.copy()
        for number, knob in enumerate(self.knobs):
            if isinstance(knob, Location):
                legal = self._legal(knob, result)
                result[:, number] = _last_legal(legal, result[:, number])
        return result

    def _legal(self, knob: Location, indices: IntArray) -> npt.NDArray[np.bool_]:
        """Return which locations are legal, given the tiles, shape (n, len(knob)).

        If any loop is unknown, every location counts as legal, except that inlining depends on
        `inlinable`.
        """
        legal = np.ones((len(indices), len(knob)), dtype=bool)
        legal[:, 0] = knob.inlinable
        if any(loop is None for loop in knob.loops):
            return legal
        known = [loop for loop in knob.loops if loop is not None]
        tiles = [self._tile(number) for number, _ in known]
        spatial = np.array([tile.spatial for tile in tiles], dtype=bool)
        extents = np.empty((len(indices), len(known)), dtype=np.int32)
        for column, (tile, (number, part)) in enumerate(zip(tiles, known, strict=True)):
            extents[:, column] = tile.factors[indices[:, number], part]
        legal[:, 2:] = _legal_loops(extents, spatial)
        return legal

    def _tile(self, number: int) -> Tile:
        knob = self.knobs[number]
        if not isinstance(knob, Tile):
            raise TypeError(f"knob {number} is no tile")
        return knob


def _legal_loops(extents: IntArray, spatial: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which loops are legal locations by TVM's rule.

    The extents and the result have shape (n, loops), outermost loop first.
    """
    real = extents > 1
    last_spatial = int(np.flatnonzero(spatial)[-1]) if spatial.any() else -1
    behind = np.arange(len(spatial)) > last_spatial
    reduced_before = np.cumsum(real & ~spatial, axis=1) - (real & ~spatial) > 0
    stop = real & ((spatial & reduced_before) | (~spatial & behind))
    return np.asarray(real & (np.cumsum(stop, axis=1) == 0), dtype=bool)


def _last_legal(legal: npt.NDArray[np.bool_], index: IntArray) -> IntArray:
    """Return the largest legal index up to the given one, or the root (1) if there is none."""
    columns = np.arange(legal.shape[1])
    usable = legal & (columns[None, :] <= index[:, None])
    found = usable.shape[1] - 1 - np.argmax(usable[:, ::-1], axis=1)
    return np.where(usable.any(axis=1), found, 1).astype(np.int32)


def align(sketches: Sequence[Sketch]) -> tuple[tuple[int, ...], ...]:
    """Assign a slot number to each knob of every sketch.

    Knobs of different sketches share a slot if they have the same kind and the same parameters; all
    locations count as the same. Several such knobs are matched in their order. Two knobs of one
    sketch never share a slot.
    """
    shapes: list[object] = []
    aligned = []
    for sketch in sketches:
        free = dict(enumerate(shapes))
        mine = []
        for knob in sketch.knobs:
            shape = ("location",) if isinstance(knob, Location) else knob
            slot = next((s for s, taken in free.items() if taken == shape), len(shapes))
            if slot == len(shapes):
                shapes.append(shape)
            free.pop(slot, None)
            mine.append(slot)
        aligned.append(tuple(mine))
    return tuple(aligned)
