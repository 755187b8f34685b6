"""Landscapes: design spaces with a known time for every configuration, without hardware."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import FloatArray, Prediction
from chameleon_tuner.cost.boosted import BoostingOptions, Ensemble, fit
from chameleon_tuner.cost.target import Targets
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Knob, Location, Sketch, Tile

BEST_SECS = 1e-3
"""Seconds of a score of 0, the optimum."""


class Landscape(Protocol):
    """A true score, -log(seconds / best), for every row of a space."""

    @property
    def space(self) -> DesignSpace:
        """Where it is defined."""
        ...

    def score(self, rows: IntArray) -> FloatArray:
        """Scores (n,) of rows (n, 1 + width)."""
        ...


class Oracle:
    """A surrogate that knows a landscape's true scores, and counts what it is asked.

    Attributes:
        fitted: True; set it to False to see what an explorer does before the first fit.
        evaluations: rows predicted so far.
        calls: calls of `predict` so far.
    """

    def __init__(self, landscape: Landscape) -> None:
        self._landscape = landscape
        self.fitted = True
        self.evaluations = self.calls = 0

    def fit(self, history: History) -> None:
        """Nothing to learn."""

    def predict(self, rows: IntArray) -> Prediction:
        """The true scores with a standard deviation of zero; zeros while not `fitted`."""
        self.evaluations += len(rows)
        self.calls += 1
        mean = self._landscape.score(rows) if self.fitted else np.zeros(len(rows))
        return Prediction(mean, np.zeros(len(rows)))


def measure(landscape: Landscape, rows: IntArray) -> list[Outcome]:
    """What hardware would say: rows (n, 1 + width) run in BEST_SECS * exp(-score) seconds."""
    seconds = BEST_SECS * np.exp(-landscape.score(rows))
    return [
        Outcome(configuration, configuration, str(configuration), Status.OK, (float(secs),))
        for configuration, secs in zip(landscape.space.configurations(rows), seconds, strict=True)
    ]


def matmul_space() -> DesignSpace:
    """One sketch of 13 dimensions: a 64 x 128 x 128 product over 64; 2.7e8 configurations."""
    spatial = tuple(Tile(extent, 4, 64) for extent in (64, 128, 128))
    loops = tuple((tile, part) for part in range(2) for tile in range(3))
    unroll, epilogue = Choice((0, 16, 64, 512)), Location(loops, inlinable=True)
    return DesignSpace((Sketch((*spatial, Tile(64, 2, 64, spatial=False), unroll, epilogue)),))


def two_sketch_space() -> DesignSpace:
    """Two sketches, the second with a cache stage more: 64 x 64 x 64 in Tile, Choice, Location."""
    tiles = (Tile(64, 4, 64), Tile(64, 4, 64), Tile(64, 2, 64, spatial=False))
    loops = tuple((tile, part) for part in range(2) for tile in range(2))
    unroll = Choice((0, 16, 64, 512))
    plain = Sketch((*tiles, unroll))
    return DesignSpace((plain, Sketch((*tiles, unroll, Location(loops, inlinable=False)))))


def tiny_space() -> DesignSpace:
    """36 configurations, of which 28 are distinct once the location is legal."""
    tile = Tile(4, 2, 64)
    return DesignSpace((Sketch((tile, Choice((0, 1, 2)), Location(((0, 0), (0, 1)), True))),))


def coordinates(space: DesignSpace, rows: IntArray) -> npt.NDArray[np.float64]:
    """Where rows are, (n, 1 + dims), in units of one move: a move changes one coordinate.

    The sketch; for every boundary of a tile log2 of the iterations inside of it; for a choice or
    a location its index. Knobs that a sketch lacks are at 0.
    """
    result = np.zeros((len(rows), space.move_dims))
    result[:, 0] = rows[:, 0]
    for number, sketch in enumerate(space.sketches):
        mine = np.flatnonzero(rows[:, 0] == number)
        dim = 1
        for column, knob in enumerate(sketch.knobs, start=1):
            index = rows[mine, column]
            if isinstance(knob, Tile):
                logs = np.log2(knob.factors)[index]
                result[mine, dim : dim + knob.parts - 1] = np.cumsum(logs[:, :0:-1], 1)[:, ::-1]
                dim += knob.parts - 1
            else:
                result[mine, dim] = index
                dim += 1
    return result


@dataclass(frozen=True)
class Bowl:
    """One basin: the score falls with the distance from the optimum, in moves.

    Attributes:
        space: any design space.
        optimum: a canonical row of it, (1 + width,).
        slope: score lost a move.
    """

    space: DesignSpace
    optimum: IntArray
    slope: float = 0.2

    @cached_property
    def _centre(self) -> npt.NDArray[np.float64]:
        return coordinates(self.space, self.optimum[None, :]).ravel()

    def score(self, rows: IntArray) -> FloatArray:
        """0 at the optimum, falling by `slope` a move."""
        away = np.abs(coordinates(self.space, rows) - self._centre).sum(axis=1)
        return np.asarray(-self.slope * away)


@dataclass(frozen=True)
class Deceptive:
    """A broad basin that leads to a local optimum, and a narrow ridge from there to the global.

    From the local optimum the score rises only where a few coordinates move together and nothing
    else does, as when two tiles have to grow at once to fill the vector registers. One of these
    moves alone is a loss, so the local optimum beats whatever differs from it in one knob.

    Attributes:
        space: a design space.
        start: the row of the local optimum, (1 + width,), canonical.
        optimum: the row of the global one; it differs in a few coordinates, in each by the same.
        gap: score of the global optimum over that of the local one.
        slope: score lost a move away from the local optimum.
        cliff: score lost a move off the ridge.
    """

    space: DesignSpace
    start: IntArray
    optimum: IntArray
    gap: float = 1.0
    slope: float = 0.1
    cliff: float = 1.0

    @cached_property
    def _ends(self) -> npt.NDArray[np.float64]:
        return coordinates(self.space, np.stack([self.start, self.optimum]))

    def score(self, rows: IntArray) -> FloatArray:
        """0 at the global optimum, -gap at the local one."""
        start, end = self._ends
        tied = np.flatnonzero(start != end)
        where = coordinates(self.space, rows)
        away = np.abs(where - start)
        towards = (where - start)[:, tied] * np.sign(end - start)[tied]
        length = np.abs(end - start)[tied[0]]
        along = np.clip(towards.min(axis=1), 0.0, length)
        off = np.abs(towards - along[:, None]).sum(axis=1)
        off += np.delete(away, tied, axis=1).sum(axis=1)
        ridge = np.where(along > 0, self.gap * along / length - self.cliff * off, -np.inf)
        return np.asarray(np.maximum(ridge, -self.slope * away.sum(axis=1)) - self.gap)


def bowl() -> Bowl:
    """A bowl in `matmul_space`, the optimum away from every border of it."""
    return Bowl(matmul_space(), _matmul_row((4, 2, 4, 2), (4, 2, 8, 2), (4, 2, 8, 2)))


def deceptive() -> Deceptive:
    """A deceptive landscape in `matmul_space`: two tiles have to grow together, three times."""
    start = _matmul_row((4, 2, 4, 2), (4, 2, 8, 2), (4, 2, 8, 2))
    return Deceptive(matmul_space(), start, _matmul_row((4, 2, 4, 2), (4, 2, 1, 16), (4, 2, 1, 16)))


def _matmul_row(*tiles: tuple[int, ...]) -> IntArray:
    space = matmul_space()
    knobs = space.sketches[0].knobs[:4]
    pairs = zip(knobs, (*tiles, (16, 4)), strict=True)
    row = [0, *(knob.index_of(value) for knob, value in pairs if isinstance(knob, Tile)), 2, 4]
    canonical: IntArray = space.canonical(np.array([row], dtype=np.int32))[0]
    return canonical


def conv2d_space() -> DesignSpace:
    """The sketch of the recorded convolution: 56x56x64 -> 64, 3x3, NHWC; 1.4e9 configurations.

    MetaSchedule orders its loops SSRSRS: two levels of spatial parts, one of reduction parts, ...
    """
    spatial = tuple(Tile(extent, 4, 64) for extent in (1, 56, 56, 64))
    reduction = tuple(Tile(extent, 2, 64, spatial=False) for extent in (3, 3, 64))
    s, r = range(4), range(4, 7)
    levels = ((s, 0), (s, 1), (r, 0), (s, 2), (r, 1), (s, 3))
    loops = tuple((tile, part) for tiles, part in levels for tile in tiles)
    unroll, padding = Choice((0, 16, 64, 512)), Location(loops, inlinable=True)
    return DesignSpace((Sketch((*spatial, *reduction, unroll, padding)),))


def recorded_conv2d() -> tuple[DesignSpace, IntArray, FloatArray]:
    """800 random schedules of that convolution on 2 cores: space, rows (800, 10), seconds (800,).

    Seconds are the median of 3 runs, or a single one where it took over 3 times the best so far.
    Which of the task's three sketches a schedule came from was not recorded; they share these
    knobs.
    """
    space = conv2d_space()
    packed = files("chameleon_tuner.testing").joinpath("conv2d_nhwc.jsonl.gz").read_bytes()
    records = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    knobs = space.sketches[0].knobs
    rows = [
        [0, *(_index(knob, value) for knob, value in zip(knobs, record["decisions"], strict=True))]
        for record in records
    ]
    seconds = np.array([record["seconds"] for record in records], dtype=np.float64)
    return space, np.array(rows, dtype=np.int32), seconds


def _index(knob: Knob, value: Any) -> int:
    """The index of a decision: a list, of factors, of a choice's index or of TVM's location."""
    if isinstance(knob, Tile):
        return knob.index_of(tuple(value))
    return int(value[0]) if isinstance(knob, Choice) else knob.values.index(value[0])


@dataclass(frozen=True)
class RecordedLandscape:
    """The recorded times, continued to the whole space by boosted trees fitted on all of them.

    A score of 0 is the best recorded schedule.
    """

    space: DesignSpace
    ensemble: Ensemble

    def score(self, rows: IntArray) -> FloatArray:
        """Scores (n,) of rows (n, 1 + width)."""
        return self.ensemble.predict(self.space.encode(rows)).mean


@lru_cache(maxsize=1)
def recorded_landscape() -> RecordedLandscape:
    """The landscape, fitted once a process (0.1 s); the same in every process."""
    space, rows, seconds = recorded_conv2d()
    scores = Targets(-np.log(seconds / seconds.min()), np.ones(len(seconds)))
    whole = BoostingOptions(members=1, rounds=150, shrinkage=0.1, share=1.0, feature_share=1.0)
    return RecordedLandscape(
        space, fit(space.encode(rows), scores, whole, np.random.default_rng(0))
    )
