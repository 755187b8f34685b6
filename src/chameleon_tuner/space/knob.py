"""Knobs: the decisions of a sketch, each with an ordered list of values and a geometry of moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]

OUTWARD, STAY, INWARD = 0, 1, 2
"""The three actions of a dimension; on a list of values: down, stay, up."""


def _factorisations(extent: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (extent,)
        return
    for first in _divisors(extent):
        for rest in _factorisations(extent // first, parts - 1):
            yield (first, *rest)


@lru_cache(maxsize=4096)
def _divisors(value: int) -> tuple[int, ...]:
    small = [d for d in range(1, isqrt(value) + 1) if value % d == 0]
    return tuple(sorted({*small, *(value // d for d in small)}))


def ordered_moves(count: int) -> IntArray:
    """Down, stay and up in an ordered list of `count` values: (count, 1, 3) indices."""
    here = np.arange(count)
    moves = np.stack([np.maximum(here - 1, 0), here, np.minimum(here + 1, count - 1)], axis=1)
    return moves[:, None, :].astype(np.int32)


@dataclass(frozen=True)
class Tile:
    """A loop of `extent` split perfectly into `parts` nested loops, outermost first.

    Attributes:
        extent: iterations of the loop; the factors' product.
        parts: how many loops it becomes.
        max_innermost: the largest legal innermost factor (MetaSchedule's
            `max_innermost_factor`, 64 on CPUs).
        spatial: whether the loop is data-parallel; otherwise it is a reduction.
    """

    extent: int
    parts: int
    max_innermost: int
    spatial: bool = True

    @cached_property
    def factors(self) -> IntArray:
        """All values as an int32 array (n, parts), in lexicographic order."""
        legal = [f for f in _factorisations(self.extent, self.parts) if f[-1] <= self.max_innermost]
        return np.array(legal, dtype=np.int32)

    @cached_property
    def _index(self) -> dict[tuple[int, ...], int]:
        return {tuple(row): i for i, row in enumerate(self.factors.tolist())}

    def __len__(self) -> int:
        return len(self.factors)

    def index_of(self, value: tuple[int, ...]) -> int:
        """The index of a factorisation; raises KeyError when it is not legal."""
        return self._index[tuple(value)]

    def value_at(self, index: int) -> tuple[int, ...]:
        """The factors at an index."""
        return tuple(self.factors[index].tolist())

    @cached_property
    def moves(self) -> IntArray:
        """One dimension a boundary between levels: (n, parts - 1, 3) indices.

        OUTWARD gives the inner loop the next smaller size that divides the product of the two
        loops, and the outer loop the rest; INWARD is its inverse; what is not legal stays. Every
        value can be reached from every other. (A shift of the smallest prime factor is the same
        for powers of a prime, but never makes a 2-part tile of 768 = 2^8 * 3 have an inner 3.)
        """
        here = np.arange(len(self), dtype=np.int32)
        table = np.repeat(here, 3 * (self.parts - 1)).reshape(len(self), self.parts - 1, 3)
        for boundary in range(self.parts - 1):
            others = np.delete(self.factors, [boundary, boundary + 1], axis=1)
            order = np.lexsort((self.factors[:, boundary + 1], *others.T))
            smaller, larger = order[:-1], order[1:]
            same = (others[smaller] == others[larger]).all(axis=1)
            table[larger[same], boundary, OUTWARD] = smaller[same]
            table[smaller[same], boundary, INWARD] = larger[same]
        return table


@dataclass(frozen=True)
class Choice:
    """One of several values, in their own order (an unroll limit, a vector length)."""

    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def moves(self) -> IntArray:
        """Down, stay and up: (n, 1, 3) indices."""
        return ordered_moves(len(self))


@dataclass(frozen=True)
class Location:
    """The loop at which a block is computed: inlined (-2), at the root (-1), or loop number i.

    Which of them are legal follows from the tiles: TVM skips loops of extent 1, data-parallel
    loops behind a reduction and trailing reductions, and takes the next legal location before an
    illegal one without a word (`CollectComputeLocation` in TVM's schedule analysis). `loops` says
    which part of which tile each loop is, so that the space can do the same.

    Attributes:
        loops: for every loop of the consumer, outermost first, (knob, part); None where it is
            not known, and the location then is taken as it is.
        inlinable: whether -2 is legal.
    """

    loops: tuple[tuple[int, int] | None, ...]
    inlinable: bool

    @property
    def values(self) -> tuple[int, ...]:
        """The values in their order: -2 (also where it is never legal), -1, 0, 1, ..."""
        return tuple(range(-2, len(self.loops)))

    def __len__(self) -> int:
        return len(self.loops) + 2

    @cached_property
    def moves(self) -> IntArray:
        """Down, stay and up: (n, 1, 3) indices."""
        return ordered_moves(len(self))


Knob = Tile | Choice | Location
