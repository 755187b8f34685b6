"""Knobs: the decisions of a sketch, each with an ordered list of values and moves between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isqrt

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]

OUTWARD, STAY, INWARD = 0, 1, 2
"""The three actions of a move dimension. On a list of values they mean down, stay and up."""


def _factorisations(extent: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (extent,)
        return
    for first in divisors(extent):
        for rest in _factorisations(extent // first, parts - 1):
            yield (first, *rest)


@lru_cache(maxsize=4096)
def divisors(value: int) -> tuple[int, ...]:
    """Return all divisors of a number in ascending order."""
    small = [d for d in range(1, isqrt(value) + 1) if value % d == 0]
    return tuple(sorted({*small, *(value // d for d in small)}))


def ordered_moves(count: int) -> IntArray:
    """Return the indices after down, stay and up in a list of `count` values, (count, 1, 3)."""
    here = np.arange(count)
    moves = np.stack([np.maximum(here - 1, 0), here, np.minimum(here + 1, count - 1)], axis=1)
    return moves[:, None, :].astype(np.int32)


@dataclass(frozen=True)
class Tile:
    """A loop of `extent` iterations, split perfectly into `parts` nested loops, outermost first.

    Attributes:
        extent: The iterations of the loop, which are the product of the factors.
        parts: The number of nested loops.
        max_innermost: The largest legal innermost factor (MetaSchedule's
            `max_innermost_factor`, 64 on CPUs).
        spatial: Whether the loop is data-parallel; otherwise it is a reduction.
    """

    extent: int
    parts: int
    max_innermost: int
    spatial: bool = True

    @cached_property
    def factors(self) -> IntArray:
        """All legal factorisations, int32 of shape (n, parts), in lexicographic order."""
        legal = [f for f in _factorisations(self.extent, self.parts) if f[-1] <= self.max_innermost]
        return np.array(legal, dtype=np.int32)

    @cached_property
    def _index(self) -> dict[tuple[int, ...], int]:
        return {tuple(row): i for i, row in enumerate(self.factors.tolist())}

    def __len__(self) -> int:
        return len(self.factors)

    def index_of(self, value: tuple[int, ...]) -> int:
        """Return the index of a factorisation; raise a `KeyError` if it is not legal."""
        return self._index[tuple(value)]

    def value_at(self, index: int) -> tuple[int, ...]:
        """Return the factors at an index."""
        return tuple(self.factors[index].tolist())

    @cached_property
    def moves(self) -> IntArray:
        """The index after each move, shape (n, parts - 1, 3): one dimension per boundary of levels.

        OUTWARD gives the inner loop of the boundary the next smaller size that divides the product
        of the two loops, and gives the rest to the outer loop. INWARD is the inverse. An illegal
        move leaves the value as it is. Every value can be reached from every other. (A shift of the
        smallest prime factor would be the same for powers of a prime, but would never give a 2-part
        tile of 768 = 2^8 * 3 an inner factor of 3.)
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
    """A choice of one of several ordered values, such as an unroll limit or a vector length."""

    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def moves(self) -> IntArray:
        """The index after each move (down, stay, up), shape (n, 1, 3)."""
        return ordered_moves(len(self))


@dataclass(frozen=True)
class Location:
    """The location at which a block is computed: inlined (-2), at the root (-1), or at loop i.

    The tiles determine which locations are legal. TVM skips loops of extent 1, data-parallel loops
    that follow a reduction, and trailing reductions. It silently replaces an illegal location by
    the nearest legal location before it (`CollectComputeLocation` in TVM's schedule analysis).
    `loops` says which part of which tile each loop is, so that the space can do the same.

    Attributes:
        loops: The (knob, part) of every loop of the consumer, outermost first; None for an unknown
            loop. If any loop is unknown, locations are not replaced.
        inlinable: Whether -2 is legal.
    """

    loops: tuple[tuple[int, int] | None, ...]
    inlinable: bool

    @property
    def values(self) -> tuple[int, ...]:
        """All values in order: -2 (even if it is never legal), -1, 0, 1, ..."""
        return tuple(range(-2, len(self.loops)))

    def __len__(self) -> int:
        return len(self.loops) + 2

    @cached_property
    def moves(self) -> IntArray:
        """The index after each move (down, stay, up), shape (n, 1, 3)."""
        return ordered_moves(len(self))


Knob = Tile | Choice | Location
