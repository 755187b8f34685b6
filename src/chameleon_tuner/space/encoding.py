"""Features of configurations, computed from the knobs alone.

No lowering is needed, so thousands of configurations are encoded in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.knob import Category, Choice, IntArray, Knob, Location, Permutation, Tile
from chameleon_tuner.space.sketch import Sketch

Float32 = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

MISSING = -1.0
"""The value of a feature that a row's sketch does not have."""


class Encoder:
    """Encoder of the rows of a design space as float32 features, shape (n, d).

    The features are:

    - a one-hot vector of the sketch;
    - for a tile, log2 of its factors and of its cumulative sizes from the inside out;
    - for a choice or one of two categories, its index; for one of more, a one-hot vector;
    - for a parameter of integers, the exponent of two and log2 of the odd factor;
    - for a permutation, the position of each item;
    - for a location, its index and log2 of the iterations of the loops at and around it;
    - for all tiles together, log2 of the spatial and of the reduction footprint at each tiling
      level, and log2 of the innermost work.

    On recorded convolutions, a model on these features has a rank correlation of 0.75 with 64
    samples and 0.87 with 256; on features of the lowered program it has 0.57 and 0.76.

    Args:
        sketches: The sketches of the design space.
        alignment: The slot of each knob of every sketch; knobs of one slot share their features.

    Attributes:
        names: The names of the features.
    """

    def __init__(self, sketches: Sequence[Sketch], alignment: Sequence[Sequence[int]]) -> None:
        self._sketches = [
            _SketchEncoder(sketch, slots, np.eye(len(sketches))[number])
            for number, (sketch, slots) in enumerate(zip(sketches, alignment, strict=True))
        ]
        self.names = list(dict.fromkeys(name for own in self._sketches for name in own.names))
        places = {name: place for place, name in enumerate(self.names)}
        self._places = [np.array([places[n] for n in own.names]) for own in self._sketches]

    def __call__(self, rows: IntArray) -> Float32:
        """Compute the features, shape (n, d), of rows of shape (n, 1 + width)."""
        features = np.full((len(rows), len(self.names)), MISSING, dtype=np.float32)
        for number, (encoder, places) in enumerate(zip(self._sketches, self._places, strict=True)):
            mine = np.flatnonzero(rows[:, 0] == number)
            if len(mine):
                features[mine[:, None], places] = encoder(rows[mine, 1:])
        return features


class _SketchEncoder:
    """Encoder of the rows of one sketch; features of single knobs come from lookup tables.

    Args:
        sketch: The sketch.
        slots: The slot of each of its knobs.
        flags: The one-hot vector of the sketch, shape (sketches,).
    """

    def __init__(self, sketch: Sketch, slots: Sequence[int], flags: FloatArray) -> None:
        self._knobs, self._named = sketch.knobs, bool(sketch.names)
        tiles = {n: knob for n, knob in enumerate(sketch.knobs) if isinstance(knob, Tile)}
        self._logs = {number: np.log2(tile.factors) for number, tile in tiles.items()}
        self._inner = {n: np.cumsum(log[:, ::-1], axis=1) for n, log in self._logs.items()}
        self._flags = flags
        self._tables = [self._table(number) for number in range(len(sketch.knobs))]
        self._footprints = [
            (kind, parts, mine)
            for kind, parts in product(
                ("spatial", "reduction"), sorted({tile.parts for tile in tiles.values()})
            )
            if (mine := [n for n, t in tiles.items() if (_kind(t), t.parts) == (kind, parts)])
        ]
        self.names = [*(f"sketch{other}" for other in range(len(flags))), *self._names(slots)]

    def _names(self, slots: Sequence[int]) -> Iterator[str]:
        for number, (knob, slot) in enumerate(zip(self._knobs, slots, strict=True)):
            if not self._silent(number):
                yield from _knob_names(knob, f"knob{slot}")
            if self._factored(number):
                yield from (f"knob{slot}.twos", f"knob{slot}.odd")
        for kind, parts, _ in self._footprints:
            yield from (f"{kind}{parts}.inner{level}" for level in range(parts - 1))
            yield f"{kind}{parts}.outer"
        if self._logs:
            yield "innermost"

    def _silent(self, number: int) -> bool:
        """Return whether a knob has no features: a parameter with a single value says nothing.

        Trees draw some of the features for every node, and such a feature would be a wasted draw.
        Knobs of compilers keep theirs, so that kernels of all sizes have the same features.
        """
        knob = self._knobs[number]
        return self._named and len(knob) == 1 and not isinstance(knob, Tile | Location)

    def _factored(self, number: int) -> bool:
        """Return whether a parameter's values are integers of which some are no powers of two."""
        knob = self._knobs[number]
        if not self._named or not isinstance(knob, Choice) or len(knob) == 1:
            return False
        whole = all(value == int(value) and value >= 0 for value in knob.values)
        return whole and any(int(value) & (int(value) - 1) for value in knob.values)

    def _table(self, number: int) -> FloatArray:
        """Return the features of a single knob for each of its values, shape (values, columns)."""
        knob = self._knobs[number]
        if isinstance(knob, Tile):
            inner = self._inner[number][:, 1 : knob.parts - 1]
            return np.concatenate([self._logs[number], inner], axis=1)
        if self._silent(number):
            return np.zeros((len(knob), 0))
        if isinstance(knob, Permutation):
            return knob.positions.astype(np.float64)
        if isinstance(knob, Category) and len(knob) > 2:
            return np.eye(len(knob))
        index = np.arange(len(knob), dtype=np.float64)[:, None]
        if isinstance(knob, Choice) and self._factored(number):
            return np.concatenate([index, _factors(knob)], axis=1)
        return index

    def __call__(self, indices: IntArray) -> Float32:
        """Compute the features, shape (n, names), of the indices of the sketch's knobs.

        The indices have one column per knob; further columns are ignored.
        """
        block = np.empty((len(indices), len(self.names)), dtype=np.float32)
        block[:, : len(self._flags)] = self._flags
        at = len(self._flags)
        for columns in self._columns(indices):
            block[:, at : at + columns.shape[1]] = columns
            at += columns.shape[1]
        return block

    def _columns(self, indices: IntArray) -> Iterator[FloatArray]:
        """Yield blocks of features, each of shape (n, columns), in the order of the names."""
        logs = {number: log[indices[:, number]] for number, log in self._logs.items()}
        for number, (knob, table) in enumerate(zip(self._knobs, self._tables, strict=True)):
            yield table[indices[:, number]]
            if isinstance(knob, Location):
                yield _outside(knob, indices[:, number], logs)
        for _, parts, tiles in self._footprints:
            inner = np.sum([self._inner[n][indices[:, n]] for n in tiles], axis=0)
            yield inner[:, : parts - 1]
            total = inner[:, -1:]
            yield total - inner[:, -2:-1] if parts > 1 else total
        if logs:
            yield np.sum([log[:, -1:] for log in logs.values()], axis=0)


def _factors(knob: Choice) -> FloatArray:
    """Return the exponent of two and log2 of the odd factor of integers, shape (values, 2).

    Vectors, warps and cache lines are powers of two. On an A4000 a recorded convolution without
    shared memory takes 1.0 times its best with blocks of 32, 64, 128 and 256 threads, and 3.2 to
    4.2 times with those of the twelve other sizes above 16; trees on the sizes alone cannot tell.
    """
    integers = np.array([int(value) for value in knob.values])
    lowest = np.where(integers > 0, integers & -integers, 1)
    odd = np.where(integers > 0, integers // lowest, 1)
    return np.stack([np.log2(lowest), np.log2(odd)], axis=1)


def _kind(tile: Tile) -> str:
    return "spatial" if tile.spatial else "reduction"


def _knob_names(knob: Knob, name: str) -> Iterator[str]:
    if isinstance(knob, Tile):
        yield from (f"{name}.{part}" for part in range(knob.parts))
        yield from (f"{name}.inner{level}" for level in range(1, knob.parts - 1))
        return
    if isinstance(knob, Permutation):
        yield from (f"{name}.at{item}" for item in range(len(knob.items)))
        return
    if isinstance(knob, Category) and len(knob) > 2:
        yield from (f"{name}.is{value}" for value in range(len(knob)))
        return
    yield name
    if isinstance(knob, Location):
        yield f"{name}.outside"


def _outside(
    knob: Location, index: npt.NDArray[np.int32], logs: dict[int, FloatArray]
) -> FloatArray:
    """Return log2 of the iterations of the loops at and around a location, shape (n, 1)."""
    columns = np.zeros((len(knob), len(index)))
    for column, loop in zip(columns[2:], knob.loops, strict=True):
        if loop is not None:
            column[:] = logs[loop[0]][:, loop[1]]
    return np.asarray(np.cumsum(columns, axis=0)[index, np.arange(len(index))])[:, None]
