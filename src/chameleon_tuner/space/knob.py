"""Knobs: the decisions of a sketch, each with an ordered list of values and moves between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import permutations
from math import isqrt
from typing import Any

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
class Category:
    """A choice of one of several values without an order, such as a layout or a flag.

    Attributes:
        values: The distinct values: texts, numbers or truth values.
    """

    values: tuple[str | float | bool, ...]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def moves(self) -> IntArray:
        """The index after each move, shape (n, n // 2, 3); any value is one move from any other.

        Move d leads to the value that is d + 1 places further or, outward, before it, cyclically.
        """
        here = np.arange(len(self))
        steps = np.arange(1, max(1, len(self) // 2) + 1)
        stay = np.repeat(here[:, None], len(steps), axis=1)
        moves = np.stack([here[:, None] - steps, stay, here[:, None] + steps], axis=2)
        return np.asarray(moves % len(self), dtype=np.int32)


MOST_ITEMS = 7
"""The most items of a permutation, which has 5,040 values then."""


@dataclass(frozen=True)
class Permutation:
    """An order of a few items, such as of nested loops.

    Attributes:
        items: The distinct items, at most `MOST_ITEMS`.
    """

    items: tuple[str | int, ...]

    @cached_property
    def values(self) -> tuple[tuple[str | int, ...], ...]:
        """All orders; the first is that of the items."""
        return tuple(permutations(self.items))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def positions(self) -> IntArray:
        """The position of every item in every order, shape (n, items)."""
        numbered = permutations(range(len(self.items)))
        return np.argsort(np.array(list(numbered), dtype=np.int32), axis=1).astype(np.int32)

    @cached_property
    def moves(self) -> IntArray:
        """The index after each move, shape (n, items - 1, 3): neighbours change places."""
        index = {value: n for n, value in enumerate(self.values)}
        count = len(self.items)
        here = np.arange(len(self), dtype=np.int32)
        table = np.repeat(here, 3 * (count - 1)).reshape(len(self), count - 1, 3)
        for n, value in enumerate(self.values):
            for place in range(count - 1):
                other = (*value[:place], value[place + 1], value[place], *value[place + 2 :])
                table[n, place, OUTWARD] = table[n, place, INWARD] = index[other]
        return table


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


Knob = Tile | Choice | Category | Permutation | Location


def values_of(knob: Knob) -> Sequence[Any]:
    """Return the values of a knob in its order; those of a tile are tuples of its factors."""
    if isinstance(knob, Tile):
        return [tuple(factors) for factors in knob.factors.tolist()]
    return knob.values


def coordinates_of(knob: Knob) -> npt.NDArray[np.float64]:
    """Return the coordinates of the values, shape (n, d), whose distances are numbers of steps.

    The distance is the sum of the differences. Two categories are one step apart, an order of items
    is as far from another as neighbours have to change places, at least.
    """
    if isinstance(knob, Category):
        return np.eye(len(knob)) / 2
    if isinstance(knob, Permutation):
        return knob.positions / 2
    return np.arange(len(knob), dtype=np.float64)[:, None]
