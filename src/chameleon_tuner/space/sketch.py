"""A sketch: one loop structure, with the knobs that complete it to a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.knob import IntArray, Knob, Location, Tile
from chameleon_tuner.space.legal import Group, groups_of
from chameleon_tuner.space.relation import Constraint


@dataclass(frozen=True)
class Sketch:
    """A tuple of knobs, and constraints between them.

    Attributes:
        knobs: The knobs; those of a trace are in the order of its sampling instructions.
        names: The names of the knobs, if they have any; constraints need them.
        constraints: What combinations of values are legal.
    """

    knobs: tuple[Knob, ...]
    names: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    @cached_property
    def sizes(self) -> IntArray:
        """The number of values of every knob, shape (knobs,)."""
        return np.array([len(knob) for knob in self.knobs], dtype=np.int32)

    @property
    def count(self) -> int:
        """The number of configurations that meet the constraints if every location were legal."""
        tied = {column for group in self.groups for column in group.columns}
        free = (len(knob) for number, knob in enumerate(self.knobs) if number not in tied)
        return prod(free) * prod(len(group) for group in self.groups)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The knobs that constraints tie together, with their legal values."""
        return groups_of(self.knobs, self.names, self.constraints)

    def drawn(self, draws: npt.NDArray[np.float64]) -> IntArray:
        """Return legal indices by numbers of [0, 1), uniformly; both have shape (n, knobs)."""
        indices = (draws * self.sizes).astype(np.int32)
        for group in self.groups:
            chosen = (draws[:, group.columns[0]] * len(group)).astype(np.int64)
            indices[:, group.columns] = group.rows[chosen]
        return indices

    def every(self) -> IntArray:
        """Return the indices of every configuration, shape (count, knobs), not yet canonical."""
        tied = {column for group in self.groups for column in group.columns}
        free = [n for n in range(len(self.knobs)) if n not in tied]
        sizes = [*(len(self.knobs[n]) for n in free), *(len(group) for group in self.groups)]
        indices = np.zeros((self.count, len(self.knobs)), dtype=np.int32)
        if self.knobs:
            places = np.unravel_index(np.arange(self.count), sizes)
            for n, place in zip(free, places, strict=False):
                indices[:, n] = place
            for group, place in zip(self.groups, places[len(free) :], strict=True):
                indices[:, group.columns] = group.rows[place]
        return indices

    def legal(self, indices: IntArray) -> npt.NDArray[np.bool_]:
        """Return which indices, shape (n, knobs), meet all constraints, shape (n,)."""
        met = np.ones(len(indices), dtype=bool)
        for group in self.groups:
            met &= group.contains(indices[:, group.columns])
        return met

    def canonical(self, indices: IntArray) -> IntArray:
        """Replace what is illegal by what is near it.

        An illegal location becomes the one that TVM would take; values that break a constraint
        become the nearest that meet all. The indices and the result have shape (n, knobs).
        """
        result: IntArray = indices.copy()
        for group in self.groups:
            result[:, group.columns] = group.repaired(result[:, group.columns])
        for number, knob in enumerate(self.knobs):
            if isinstance(knob, Location):
                legal = self._legal_locations(knob, result)
                result[:, number] = _last_legal(legal, result[:, number])
        return result

    def _legal_locations(self, knob: Location, indices: IntArray) -> npt.NDArray[np.bool_]:
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

    Knobs of different sketches share a slot if they have the same kind, parameters and name; all
    locations count as the same. Several such knobs are matched in their order. Two knobs of one
    sketch never share a slot.
    """
    shapes: list[object] = []
    aligned = []
    for sketch in sketches:
        free = dict(enumerate(shapes))
        mine = []
        for number, knob in enumerate(sketch.knobs):
            shape = (
                ("location",) if isinstance(knob, Location) else (knob, sketch.names[number:][:1])
            )
            slot = next((s for s, taken in free.items() if taken == shape), len(shapes))
            if slot == len(shapes):
                shapes.append(shape)
            free.pop(slot, None)
            mine.append(slot)
        aligned.append(tuple(mine))
    return tuple(aligned)
