"""Configurations that an analytic model of a CPU's core expects to be fast, before any trial.

A tile of sums stays in registers; the panels of its factors stay in the caches; threads get equal
shares. Low, Igual, Smith and Quintana-Ortí, "Analytical Modeling Is Enough for High-Performance
BLIS" (ACM TOMS 2016), choose the tiles of a matrix product in this way. Here the model chooses a
few configurations that a search measures first, beside those that the cost model's prior chooses
(`benchmarks/opening.py` compares searches with and without them).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Knob, Location, Sketch, Tile
from chameleon_tuner.space.knob import divisors
from chameleon_tuner.space.task import Task, vector_registers

FloatArray = npt.NDArray[np.float64]

_LEVELS = ((16e3, 0.0), (256e3, 1 / 24), (4e6, 1 / 10), (math.inf, 1 / 4))
"""Bytes that fit in half of each cache, and the cycles that a byte from there costs. The numbers
are of no particular CPU: what decides is in which of the caches a panel stays."""

_BYTES = 4
"""Bytes of an element."""

_LATENCY = 8
"""Vectors of sums that keep the two units for multiplying and adding busy while a product takes its
four or five cycles."""

_CROWDED = 1.25
"""Price of a tile that needs all registers, or up to two more than there are: LLVM keeps some sums
in memory then. On two cores of a Zen 1 a product of 14 by 14 images, 672 and 112 channels, takes
584 us in tiles of 7 by 1 vectors and 849 us in tiles of 14 by 1."""

_UNROLLED = 64.0
"""Limit of unrolling: most steps of a body that LLVM compiles in a tenth of a second."""

_JOBS = 16
"""Jobs per core, up to which MetaSchedule runs the outermost loops in parallel."""

_MOST_TILES = 32
"""Register tiles of which the loops around them are tried, the best."""


@dataclass(frozen=True)
class Core:
    """What the model knows of a CPU.

    Attributes:
        lanes: float32 numbers in a vector register.
        registers: Vector registers.
        threads: Cores that share a kernel.
    """

    lanes: int
    registers: int
    threads: int

    @classmethod
    def of(cls, task: Task) -> Core:
        """Return the cores of a task's target."""
        bits, threads = task.vector_bits, int(task.target.get("num-cores", 1))
        return cls(bits // 32, vector_registers(bits), threads)


_Numbered: TypeAlias = tuple[tuple[int, Tile], ...]
"""Tiles with the numbers of their knobs."""


@dataclass(frozen=True)
class _Nest:
    """The tiles of a product: rows and columns of sums, and what is summed.

    Attributes:
        knobs: All knobs of the sketch.
        spatial: The tiles of all spatial loops; the neighbours in the last are a vector.
        summed: The tiles of the reduction.
    """

    knobs: tuple[Knob, ...]
    spatial: _Numbered
    summed: _Numbered


@dataclass(frozen=True)
class _Plan:
    """A register tile and the shares of threads.

    Attributes:
        cost: The cycles of a step of the tile over those of its products alone.
        inner: The sizes of the tile by spatial loop, the columns last.
        outer: The numbers of shares by spatial loop.
    """

    cost: float
    inner: tuple[int, ...]
    outer: tuple[int, ...]


def promising(space: DesignSpace, core: Core, count: int) -> IntArray:
    """Return the configurations of products that the model expects to be the fastest.

    The sketches of a product differ in where its epilogue is computed, of which the model knows
    nothing: they take turns.

    Args:
        space: The design space of a task.
        core: The CPU.
        count: The number of rows to return, at most.

    Returns:
        Canonical rows, the best first, shape (m, 1 + width); none for what is no product, such as
        a depthwise convolution.
    """
    turns = [_configurations(number, sketch, core) for number, sketch in _last_first(space)]
    mixed = (made for round_ in itertools.zip_longest(*turns) for made in round_ if made)
    rows = space.rows(list(itertools.islice(mixed, count)))
    return space.unique(space.canonical(rows))


def _last_first(space: DesignSpace) -> Iterator[tuple[int, Sketch]]:
    """Return the numbered sketches from the last, as the first has its epilogue in another pass."""
    return reversed(list(enumerate(space.sketches)))


def _configurations(number: int, sketch: Sketch, core: Core) -> Iterator[Configuration]:
    """Yield the configurations of a sketch, the best first; none if it is no product."""
    nest = _nest(sketch)
    if nest is not None:
        for plan in _plans(nest, core):
            yield Configuration(number, _indices(nest, plan, core))


def _nest(sketch: Sketch) -> _Nest | None:
    """Return the tiles of a sketch if it is a product in MetaSchedule's structure SSRSRS.

    A depthwise convolution, with four spatial loops and two of a reduction, is none: it uses no
    factor twice.
    """
    tiles = [(n, knob) for n, knob in enumerate(sketch.knobs) if isinstance(knob, Tile)]
    spatial = tuple((n, tile) for n, tile in tiles if tile.spatial)
    summed = tuple((n, tile) for n, tile in tiles if not tile.spatial)
    levels = {tile.parts for _, tile in spatial}, {tile.parts for _, tile in summed}
    if levels != ({4}, {2}) or (len(spatial), len(summed)) == (4, 2):
        return None
    return _Nest(sketch.knobs, spatial, summed)


@functools.lru_cache(maxsize=16)
def _plans(nest: _Nest, core: Core) -> list[_Plan]:
    """Return the best shares for each of the best register tiles, the best first."""
    tiles = sorted(_register_tiles(nest, core), key=lambda tile: tile[0])[:_MOST_TILES]
    plans = (_shared(nest, core, cycles, inner) for cycles, inner in tiles)
    return sorted(plans, key=lambda plan: plan.cost)


def _register_tiles(nest: _Nest, core: Core) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Yield register tiles: the cycles of a step per vector of sums, and the sizes.

    A step of a tile of r by v vectors is r v products of r broadcast numbers and v loaded vectors,
    and a core does as many products as loads in a cycle.
    """
    *outer, (_, column) = nest.spatial
    rows = [_divisors(tile.extent, core.registers) for _, tile in outer]
    for columns in _lengths(column, core):
        vectors = math.ceil(columns / core.lanes)
        used = columns / (vectors * core.lanes)
        for sizes in itertools.product(*rows):
            sums = math.prod(sizes) * vectors
            loads = math.prod(sizes) + vectors
            held = sums + vectors + 1
            if sums < core.registers and held <= core.registers + 2:
                cycles = max(sums, loads, _LATENCY) * (_CROWDED if held >= core.registers else 1.0)
                yield (cycles + loads / 8) / (sums * used), (*sizes, columns)


def _lengths(column: Tile, core: Core) -> list[int]:
    """Return the numbers of columns that a tile may have.

    LLVM computes other vectors than whole registers, or three of them, by shuffling: the product
    above takes 1,100 us in tiles of 7 by 14 numbers and 450 us in tiles of 7 by 16.
    """
    whole = [core.lanes << n for n in range(4)]
    possible = _divisors(column.extent, column.max_innermost)
    return [columns for columns in possible if columns in whole] or possible


def _divisors(extent: int, most: int) -> list[int]:
    return [size for size in divisors(extent) if size <= most]


def _shared(nest: _Nest, core: Core, cycles: float, inner: tuple[int, ...]) -> _Plan:
    """Return the best shares of threads for a register tile."""
    whole = [tile.extent // size for (_, tile), size in zip(nest.spatial, inner, strict=True)]
    outer = np.array(list(itertools.product(*map(divisors, whole))))
    *rows, columns = (np.array(whole) // outer).T  # tiles of a share, by loop
    depth = math.prod(tile.extent for _, tile in nest.summed)
    height, width = math.prod(inner[:-1]), inner[-1]
    row_tiles = np.prod(rows, axis=0) if rows else np.ones(len(outer))
    # Bytes of the panel of rows that a tile reads, and of the columns that a share reads again for
    # every tile of its rows.
    panel, block = float(_BYTES * depth * height), _BYTES * depth * width * columns
    everything = _BYTES * depth * np.array([math.prod(whole[:-1]) * height, whole[-1] * width])
    row_bytes, column_bytes = _BYTES * height, _BYTES * width
    moved = (
        np.where(row_tiles > 1, column_bytes * _cycles_per_byte(block + panel), 0.0)
        + column_bytes * _cycles_per_byte(everything[1]) / row_tiles
        + row_bytes * _cycles_per_byte(panel)
        + row_bytes * _cycles_per_byte(everything[0]) / columns
    )
    vectors = height * math.ceil(width / core.lanes)
    cost = (cycles + moved / vectors) * _imbalance(outer, core)
    best = int(np.argmin(cost))
    return _Plan(float(cost[best]), inner, tuple(int(n) for n in outer[best]))


def _cycles_per_byte(footprint: npt.ArrayLike) -> FloatArray:
    """Return the cycles per byte of what is read again after so many other bytes."""
    sizes, cycles = zip(*_LEVELS, strict=True)
    return np.asarray(np.array(cycles)[np.searchsorted(sizes, footprint)])


def _imbalance(outer: npt.NDArray[np.int64], core: Core) -> FloatArray:
    """Return the time of the busiest thread over the mean, shape (n,).

    MetaSchedule runs the outermost loops in parallel whose iterations are no more than its limit.
    """
    together = np.cumprod(outer, axis=1)
    jobs = np.where(together <= _JOBS * core.threads, together, 1).max(axis=1)
    return np.asarray(np.ceil(jobs / core.threads) * core.threads / jobs)


def _indices(nest: _Nest, plan: _Plan, core: Core) -> tuple[int, ...]:
    """Return the values of all knobs of a plan."""
    spatial = zip(nest.spatial, plan.inner, plan.outer, strict=True)
    values: dict[int, tuple[int, ...]] = {
        n: (o, tile.extent // o // i, 1, i) for (n, tile), i, o in spatial
    }
    steps = max(1, int(_UNROLLED) // math.prod(plan.inner[:-1]))
    for number, tile in reversed(nest.summed):
        inner = _divisors(tile.extent, min(steps, tile.max_innermost))[-1]
        values[number] = (tile.extent // inner, inner)
        steps //= inner
    return tuple(
        knob.index_of(values[number]) if isinstance(knob, Tile) else _index(knob, plan, core)
        for number, knob in enumerate(nest.knobs)
    )


def _index(knob: Knob, plan: _Plan, core: Core) -> int:
    """Return the limit of unrolling, or the location of what is computed before the product.

    Padding is computed by the thread that needs it: in the last of the loops that are shared.
    """
    if isinstance(knob, Choice):
        return int(np.argmin(np.abs(np.array(knob.values) - _UNROLLED)))
    if not isinstance(knob, Location):
        return 0  # the model knows nothing of it
    together = np.cumprod(plan.outer)
    shared = int(np.flatnonzero(together <= _JOBS * core.threads)[-1])
    return min(knob.values.index(shared), len(knob) - 1)
