"""Features of configurations, from the knobs alone: no lowering, thousands in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.knob import IntArray, Knob, Location, Tile
from chameleon_tuner.space.sketch import Sketch

Float32 = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

MISSING = -1.0
"""The value of a feature that a sketch does not have."""


class Encoder:
    """Turns rows of a design space into float32 features (n, d).

    For each tile log2 of its factors ("knobs"), log2 of its cumulative sizes from the inside out,
    the spatial and the reduction footprint at each tiling level and the innermost work
    ("derived"); for a choice its index; for a location its index and the iterations outside of
    it. Measured on recorded convolutions, the rank correlation of a model on these is 0.75 with
    64 samples and 0.87 with 256, against 0.57 and 0.76 on features of the lowered program.
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
        """Features (n, d) of rows (n, 1 + width)."""
        features = np.full((len(rows), len(self.names)), MISSING, dtype=np.float32)
        for number, (encoder, places) in enumerate(zip(self._sketches, self._places, strict=True)):
            mine = np.flatnonzero(rows[:, 0] == number)
            if len(mine):
                features[mine[:, None], places] = encoder(rows[mine, 1:])
        return features


class _SketchEncoder:
    """Features of one sketch's rows. What a single knob tells is looked up.

    Args:
        sketch: whose knobs they are.
        slots: of the knobs.
        flags: 1 for the sketch and 0 for all others, (sketches,).
    """

    def __init__(self, sketch: Sketch, slots: Sequence[int], flags: FloatArray) -> None:
        self._knobs = sketch.knobs
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
        for knob, slot in zip(self._knobs, slots, strict=True):
            yield from _knob_names(knob, f"knob{slot}")
        for kind, parts, _ in self._footprints:
            yield from (f"{kind}{parts}.inner{level}" for level in range(parts - 1))
            yield f"{kind}{parts}.outer"
        if self._logs:
            yield "innermost"

    def _table(self, number: int) -> FloatArray:
        """What the knob itself tells, for each of its values: (values, columns)."""
        knob = self._knobs[number]
        if isinstance(knob, Tile):
            inner = self._inner[number][:, 1 : knob.parts - 1]
            return np.concatenate([self._logs[number], inner], axis=1)
        return np.arange(len(knob), dtype=np.float64)[:, None]

    def __call__(self, indices: IntArray) -> Float32:
        """Features (n, names) of the indices of the sketch's knobs, (n, at least knobs)."""
        block = np.empty((len(indices), len(self.names)), dtype=np.float32)
        block[:, : len(self._flags)] = self._flags
        at = len(self._flags)
        for columns in self._columns(indices):
            block[:, at : at + columns.shape[1]] = columns
            at += columns.shape[1]
        return block

    def _columns(self, indices: IntArray) -> Iterator[FloatArray]:
        """Blocks (n, columns), in the order of the names."""
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


def _kind(tile: Tile) -> str:
    return "spatial" if tile.spatial else "reduction"


def _knob_names(knob: Knob, name: str) -> Iterator[str]:
    if isinstance(knob, Tile):
        yield from (f"{name}.{part}" for part in range(knob.parts))
        yield from (f"{name}.inner{level}" for level in range(1, knob.parts - 1))
        return
    yield name
    if isinstance(knob, Location):
        yield f"{name}.outside"


def _outside(
    knob: Location, index: npt.NDArray[np.int32], logs: dict[int, FloatArray]
) -> FloatArray:
    """log2 of the iterations of the loops at and around a location: (n, 1)."""
    columns = np.zeros((len(knob), len(index)))
    for column, loop in zip(columns[2:], knob.loops, strict=True):
        if loop is not None:
            column[:] = logs[loop[0]][:, loop[1]]
    return np.asarray(np.cumsum(columns, axis=0)[index, np.arange(len(index))])[:, None]
