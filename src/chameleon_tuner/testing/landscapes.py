"""Landscapes: design spaces in which the time of every configuration is known without hardware."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.cost.base import FloatArray, Prediction, Targets
from chameleon_tuner.search.cost.boosted import BoostingOptions, Ensemble, fit
from chameleon_tuner.search.history import History
from chameleon_tuner.space import (
    Choice,
    DesignSpace,
    IntArray,
    Knob,
    Location,
    Permutation,
    Sketch,
    Tile,
    booleans,
    integers,
    parameter_space,
    powers_of_two,
)
from chameleon_tuner.space.knob import coordinates_of

BEST_SECS = 1e-3
"""The seconds of a configuration with score 0, the optimum."""


class Landscape(Protocol):
    """A space with a true score, -log(seconds / best), for every row."""

    @property
    def space(self) -> DesignSpace:
        """The design space on which the landscape is defined."""
        ...

    def score(self, rows: IntArray) -> FloatArray:
        """Return the scores (n,) of rows (n, 1 + width)."""
        ...


class Oracle:
    """A cost model that predicts a landscape's true scores, and counts its predictions.

    Attributes:
        fitted: True; set it to False to test an explorer before the first fit.
        evaluations: Number of rows predicted so far.
        calls: Number of calls of `predict` so far.
    """

    def __init__(self, landscape: Landscape) -> None:
        self._landscape = landscape
        self.fitted = True
        self.evaluations = self.calls = 0

    def fit(self, history: History) -> None:
        """Do nothing, since there is nothing to learn."""

    def predict(self, rows: IntArray) -> Prediction:
        """Return the true scores with a standard deviation of 0; zeros while not `fitted`."""
        self.evaluations += len(rows)
        self.calls += 1
        mean = self._landscape.score(rows) if self.fitted else np.zeros(len(rows))
        return Prediction(mean, np.zeros(len(rows)))


def measure(landscape: Landscape, rows: IntArray) -> list[Outcome]:
    """Return outcomes in which rows (n, 1 + width) took BEST_SECS * exp(-score) seconds."""
    seconds = BEST_SECS * np.exp(-landscape.score(rows))
    return [
        Outcome(configuration, configuration, str(configuration), Status.OK, (float(secs),))
        for configuration, secs in zip(landscape.space.configurations(rows), seconds, strict=True)
    ]


def matmul_space() -> DesignSpace:
    """Return a space of one sketch with 13 dimensions and 2.7e8 configurations.

    It is that of a 64 x 128 x 128 product with a reduction over 64.
    """
    spatial = tuple(Tile(extent, 4, 64) for extent in (64, 128, 128))
    loops = tuple((tile, part) for part in range(2) for tile in range(3))
    unroll, epilogue = Choice((0, 16, 64, 512)), Location(loops, inlinable=True)
    return DesignSpace((Sketch((*spatial, Tile(64, 2, 64, spatial=False), unroll, epilogue)),))


def two_sketch_space() -> DesignSpace:
    """Return a space of two sketches of a 64 x 64 x 64 product.

    Both have tiles and a choice; the second has a cache stage, and so a location, in addition.
    """
    tiles = (Tile(64, 4, 64), Tile(64, 4, 64), Tile(64, 2, 64, spatial=False))
    loops = tuple((tile, part) for part in range(2) for tile in range(2))
    unroll = Choice((0, 16, 64, 512))
    plain = Sketch((*tiles, unroll))
    return DesignSpace((plain, Sketch((*tiles, unroll, Location(loops, inlinable=False)))))


def constrained_space() -> DesignSpace:
    """Return a space of named parameters of all kinds, of which 1 in 5 combinations is legal."""
    return parameter_space(
        {
            "block_x": powers_of_two(1, 256),
            "block_y": powers_of_two(1, 256),
            "tile": integers(1, 8),
            "layout": ("rows", "columns", "blocks"),
            "shared": booleans(),
            "order": Permutation(("i", "j", "k")),
            "unroll": (0, 16, 64),
        },
        (
            "32 <= block_x * block_y <= 512",
            "shared == 0 or block_x * tile * 4 <= 1024",
            lambda layout, tile: layout != "blocks" or tile % 2 == 0,
        ),
    )


def tiny_space() -> DesignSpace:
    """Return a space of 36 configurations, of which 28 are distinct in canonical form."""
    tile = Tile(4, 2, 64)
    return DesignSpace((Sketch((tile, Choice((0, 1, 2)), Location(((0, 0), (0, 1)), True))),))


def coordinates(space: DesignSpace, rows: IntArray) -> npt.NDArray[np.float64]:
    """Return the coordinates of rows, (n, 1 + dims), such that a move changes one of them by 1.

    The first coordinate is the sketch. A tile has for every boundary log2 of the iterations inside
    of it. A choice or a location has its index. The coordinates of a category or a permutation are
    some of those in which moves are steps. Coordinates beyond those of a sketch are 0.
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
                width = knob.moves.shape[1]
                where = coordinates_of(knob)[index]
                result[mine, dim : dim + width] = where[:, :width]
                dim += width
    return result


@dataclass(frozen=True)
class Bowl:
    """A landscape with one basin: the score falls with the number of moves to the optimum.

    Attributes:
        space: Any design space.
        optimum: Row of the optimum, canonical, (1 + width,).
        slope: Loss of score per move.
    """

    space: DesignSpace
    optimum: IntArray
    slope: float = 0.2

    @cached_property
    def _centre(self) -> npt.NDArray[np.float64]:
        return coordinates(self.space, self.optimum[None, :]).ravel()

    def score(self, rows: IntArray) -> FloatArray:
        """Return scores that are 0 at the optimum and fall by `slope` per move."""
        away = np.abs(coordinates(self.space, rows) - self._centre).sum(axis=1)
        return np.asarray(-self.slope * away)


@dataclass(frozen=True)
class Deceptive:
    """A broad basin around a local optimum, with a narrow ridge from there to the global optimum.

    From the local optimum the score rises only if a few coordinates move together and all others
    stay. An example is two tiles that have to grow at once to fill the vector registers. One of
    these moves alone lowers the score, so the local optimum is better than every configuration
    that differs from it in one knob.

    Attributes:
        space: Any design space.
        start: Row of the local optimum, canonical, (1 + width,).
        optimum: Row of the global optimum. It differs from `start` in a few coordinates, by the
            same distance in each.
        gap: Score of the global optimum minus that of the local one.
        slope: Loss of score per move away from the local optimum.
        cliff: Loss of score per move away from the ridge.
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
        """Return scores that are 0 at the global optimum and -gap at the local one."""
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
    """Return a bowl in `matmul_space` whose optimum is away from the borders of the space."""
    return Bowl(matmul_space(), _matmul_row((4, 2, 4, 2), (4, 2, 8, 2), (4, 2, 8, 2)))


def deceptive() -> Deceptive:
    """Return a landscape in `matmul_space` where two tiles have to grow together three times."""
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
    """Return the space of the recorded convolution, one sketch with 1.4e9 configurations.

    The convolution maps 56x56x64 to 56x56x64 with 3x3 windows in NHWC layout. MetaSchedule orders
    its loops SSRSRS: two levels of spatial parts, one level of reduction parts, and so on.
    """
    spatial = tuple(Tile(extent, 4, 64) for extent in (1, 56, 56, 64))
    reduction = tuple(Tile(extent, 2, 64, spatial=False) for extent in (3, 3, 64))
    s, r = range(4), range(4, 7)
    levels = ((s, 0), (s, 1), (r, 0), (s, 2), (r, 1), (s, 3))
    loops = tuple((tile, part) for tiles, part in levels for tile in tiles)
    unroll, padding = Choice((0, 16, 64, 512)), Location(loops, inlinable=True)
    return DesignSpace((Sketch((*spatial, *reduction, unroll, padding)),))


def recorded_conv2d() -> tuple[DesignSpace, IntArray, FloatArray]:
    """Return 800 random schedules of the convolution of `conv2d_space`, timed on 2 cores.

    A time is the median of 3 runs, or a single run if that took more than 3 times the best time so
    far. Which of the task's three sketches a schedule belongs to was not recorded; all three have
    the same knobs.

    Returns:
        The space, the rows (800, 10) and the seconds (800,).
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
    """Return the index of a recorded decision among the values of its knob.

    A decision is a list: of a tile's factors, of a choice's index, or of TVM's compute location.
    """
    if isinstance(knob, Tile):
        return knob.index_of(tuple(value))
    return int(value[0]) if isinstance(knob, Choice) else knob.values.index(value[0])


@dataclass(frozen=True)
class RecordedLandscape:
    """The recorded times, extended to the whole space by boosted trees fitted to all of them.

    The best recorded schedule has a true score of 0.

    Attributes:
        space: The design space.
        ensemble: The fitted trees.
    """

    space: DesignSpace
    ensemble: Ensemble

    def score(self, rows: IntArray) -> FloatArray:
        """Return the scores (n,) of rows (n, 1 + width)."""
        return self.ensemble.predict(self.space.encode(rows)).mean


@lru_cache(maxsize=1)
def recorded_landscape() -> RecordedLandscape:
    """Return the recorded landscape, fitted once per process (0.1 s), equal in every process."""
    space, rows, seconds = recorded_conv2d()
    scores = Targets(-np.log(seconds / seconds.min()), np.ones(len(seconds)))
    whole = BoostingOptions(members=1, rounds=150, shrinkage=0.1, share=1.0, feature_share=1.0)
    return RecordedLandscape(
        space, fit(space.encode(rows), scores, whole, np.random.default_rng(0))
    )
