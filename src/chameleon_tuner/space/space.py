"""The design space of a task: its sketches, and operations on batches of configurations.

A batch of configurations is an int32 array of *rows*, shape (n, 1 + width). A row has the number of
the sketch, then the index of each knob's value, padded with zeros up to the width of the widest
sketch. All operations are vectorised over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.space.encoding import Encoder
from chameleon_tuner.space.knob import INWARD, OUTWARD, STAY, IntArray, Tile
from chameleon_tuner.space.sketch import Sketch, align


def first_of_each(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return a mask of the first occurrence of every key, shape (n,).

    Indexing with a mask keeps the order of the rows.
    """
    first = np.zeros(len(keys), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


# Any constant would do, but it must be the same in every process.
_KEY_SEED = 0x9E3779B97F4A7C15


@cache
def _key_factors(columns: int) -> npt.NDArray[np.uint64]:
    """Return pseudo-random odd factors for hashing rows, shape (2, columns)."""
    generator = np.random.default_rng(_KEY_SEED)
    drawn = generator.integers(1, 2**63, size=(2, columns), dtype=np.uint64)
    factors = np.asarray(drawn * np.uint64(2) + np.uint64(1))
    factors.setflags(write=False)
    return factors


@dataclass(frozen=True)
class DesignSpace:
    """All schedules that a search may choose from, as sketches of knobs.

    Attributes:
        sketches: At least one sketch.
    """

    sketches: tuple[Sketch, ...]

    @property
    def count(self) -> int:
        """The number of configurations that meet the constraints if every location were legal."""
        return sum(sketch.count for sketch in self.sketches)

    @property
    def width(self) -> int:
        """The number of knobs of the widest sketch; a row has one column more."""
        return max(len(sketch.knobs) for sketch in self.sketches)

    @cached_property
    def tiled(self) -> bool:
        """Whether a knob is a tile, as in the schedules of a compiler."""
        return any(isinstance(knob, Tile) for sketch in self.sketches for knob in sketch.knobs)

    # -- rows and configurations

    def rows(self, configurations: Sequence[Configuration]) -> IntArray:
        """Return the rows of configurations, shape (n, 1 + width)."""
        rows = np.zeros((len(configurations), 1 + self.width), dtype=np.int32)
        for row, configuration in zip(rows, configurations, strict=True):
            row[0] = configuration.sketch
            row[1 : 1 + len(configuration.indices)] = configuration.indices
        return rows

    def configurations(self, rows: IntArray) -> list[Configuration]:
        """Return the configurations of rows; the inverse of `rows`."""
        listed = rows.tolist()
        knobs = [len(sketch.knobs) for sketch in self.sketches]
        return [Configuration(row[0], tuple(row[1 : 1 + knobs[row[0]]])) for row in listed]

    def contains(self, configuration: Configuration) -> bool:
        """Return whether the configuration exists in this space and meets its constraints."""
        if not 0 <= configuration.sketch < len(self.sketches):
            return False
        sizes = self.sketches[configuration.sketch].sizes.tolist()
        indices = configuration.indices
        if len(indices) != len(sizes):
            return False
        if not all(0 <= index < size for index, size in zip(indices, sizes, strict=True)):
            return False
        sketch = self.sketches[configuration.sketch]
        return bool(sketch.legal(np.array([indices], dtype=np.int32))[0])

    def keys(self, rows: IntArray) -> npt.NDArray[np.uint64]:
        """Return a 64-bit hash of every row, shape (n,).

        The hashes are the same in every process. The probability that any two of a million
        different rows share a hash is below 1e-7.
        """
        factors = _key_factors(rows.shape[1])
        mixed = (rows.astype(np.uint64) + np.uint64(1)) * factors[0]
        mixed = (mixed ^ (mixed >> np.uint64(31))) * factors[1]
        summed = mixed.sum(axis=1, dtype=np.uint64)
        return np.asarray(summed ^ (summed >> np.uint64(29)), dtype=np.uint64)

    def unique(self, rows: IntArray) -> IntArray:
        """Remove duplicate rows and keep the order of first appearance."""
        kept: IntArray = rows[first_of_each(self.keys(rows))]
        return kept

    # -- sampling

    def sample(self, count: int, rng: np.random.Generator) -> IntArray:
        """Draw `count` rows, uniformly over the sketches and over what is legal in each.

        The rows are made canonical, shape (count, 1 + width).
        """
        rows = np.zeros((count, 1 + self.width), dtype=np.int32)
        rows[:, 0] = rng.integers(len(self.sketches), size=count)
        draws = rng.random((count, self.width))
        for number, sketch in enumerate(self.sketches):
            mine = rows[:, 0] == number
            knobs = len(sketch.knobs)
            rows[mine, 1 : 1 + knobs] = sketch.drawn(draws[mine, :knobs])
        return self.canonical(rows)

    def canonical(self, rows: IntArray) -> IntArray:
        """Replace what is illegal in rows, see `Sketch.canonical`; idempotent."""
        result: IntArray = rows.copy()
        for number, sketch in enumerate(self.sketches):
            mine = np.flatnonzero(rows[:, 0] == number)
            if len(mine):
                columns = slice(1, 1 + len(sketch.knobs))
                result[mine, columns] = sketch.canonical(rows[mine, columns])
        return result

    # -- moves

    @cached_property
    def move_dims(self) -> int:
        """The number of action dimensions: one for the sketch, then those of the knobs.

        A tile has one dimension per boundary between its levels; a choice or a location has one.
        The sketch with the most dimensions determines the number.
        """
        return 1 + max(
            sum(int(knob.moves.shape[1]) for knob in sketch.knobs) for sketch in self.sketches
        )

    def move(self, rows: IntArray, actions: npt.NDArray[np.integer]) -> IntArray:
        """Apply actions to rows and return canonical rows.

        Dimension 0 leads to the previous or next sketch (cyclically), after the other moves are
        done; see `transfer`. The other dimensions are the boundaries of the tiles and the value
        lists of the choices and locations, knob by knob. Dimensions beyond those of a row's sketch
        have no effect.

        Args:
            rows: Configurations, shape (n, 1 + width).
            actions: OUTWARD, STAY or INWARD in each dimension, shape (n, move_dims).
        """
        result: IntArray = rows.copy()
        for number, sketch in enumerate(self.sketches):
            mine = np.flatnonzero(rows[:, 0] == number)
            dim = 1
            for column, knob in enumerate(sketch.knobs, start=1):
                for boundary in range(knob.moves.shape[1]):
                    chosen = actions[mine, dim]
                    result[mine, column] = knob.moves[result[mine, column], boundary, chosen]
                    dim += 1
        step = np.where(actions[:, 0] == INWARD, 1, np.where(actions[:, 0] == OUTWARD, -1, 0))
        return self.canonical(self.transfer(result, (rows[:, 0] + step) % len(self.sketches)))

    def step(self, rows: IntArray, actions: npt.NDArray[np.integer]) -> IntArray:
        """Apply the paper's moves: one step in the ordered list of values of each knob.

        Args:
            rows: Configurations, shape (n, 1 + width).
            actions: One down (0), stay (1) or one up (2) for each knob, shape (n, width).
        """
        sizes = self.sizes[rows[:, 0]]
        moved = np.clip(rows[:, 1:] + actions - 1, 0, np.maximum(sizes - 1, 0))
        return self.canonical(np.column_stack([rows[:, 0], moved]).astype(np.int32))

    @cached_property
    def sizes(self) -> IntArray:
        """The number of values of every knob, shape (sketches, width), padded with zeros."""
        sizes = np.zeros((len(self.sketches), self.width), dtype=np.int32)
        for number, sketch in enumerate(self.sketches):
            sizes[number, : len(sketch.knobs)] = sketch.sizes
        return sizes

    def mutate(self, rows: IntArray, rng: np.random.Generator, knobs: int = 1) -> IntArray:
        """Redraw random knobs of every row uniformly.

        With one knob, this is a step of AutoTVM's random walk.

        Args:
            rows: Configurations, shape (n, 1 + width).
            rng: The source of randomness.
            knobs: How often a knob of each row is chosen and redrawn; a knob may be chosen again.

        Returns:
            The canonical mutants, shape (n, 1 + width).
        """
        result: IntArray = rows.copy()
        if not self.width:
            return result
        counts = np.array([len(sketch.knobs) for sketch in self.sketches])[rows[:, 0]]
        lines = np.arange(len(rows))
        for _ in range(knobs):
            column = (rng.random(len(rows)) * counts).astype(np.int64)
            sizes = self.sizes[rows[:, 0], column]
            result[lines, 1 + column] = (rng.random(len(rows)) * sizes).astype(np.int32)
        return self.canonical(result)

    def transfer(self, rows: IntArray, sketch: npt.NDArray[np.integer]) -> IntArray:
        """Transfer rows to other sketches.

        Knobs that both sketches have in common keep their value; all others get index 0. A location
        that the new sketch does not have becomes its last one. The result may have to be made
        canonical.

        Args:
            rows: Configurations, shape (n, 1 + width).
            sketch: The new sketch of each row, shape (n,).
        """
        result: IntArray = rows.copy()
        for old, new in set(zip(rows[:, 0].tolist(), np.asarray(sketch).tolist(), strict=True)):
            if old == new:
                continue
            mine = np.flatnonzero((rows[:, 0] == old) & (sketch == new))
            moved = np.zeros((len(mine), rows.shape[1]), dtype=np.int32)
            moved[:, 0] = new
            for source, to in self._in_common(old, new):
                last = self.sizes[new, to] - 1
                moved[:, 1 + to] = np.minimum(rows[mine, 1 + source], last)
            result[mine] = moved
        return result

    def _in_common(self, old: int, new: int) -> list[tuple[int, int]]:
        """Return pairs of knob numbers that stand for the same decision in two sketches."""
        places = {slot: number for number, slot in enumerate(self.alignment[new])}
        return [(n, places[slot]) for n, slot in enumerate(self.alignment[old]) if slot in places]

    # -- micro-kernels

    def innermost(self, rows: IntArray) -> IntArray:
        """Return the innermost size of every tile, shape (n, slots).

        The columns are the slots of `alignment`; a slot without a tile has size 0.
        """
        slots = 1 + max((slot for own in self.alignment for slot in own), default=-1)
        sizes = np.zeros((len(rows), slots), dtype=np.int32)
        for number, sketch in enumerate(self.sketches):
            mine = np.flatnonzero(rows[:, 0] == number)
            for column, slot in enumerate(self.alignment[number]):
                knob = sketch.knobs[column]
                if isinstance(knob, Tile):
                    sizes[mine, slot] = knob.factors[rows[mine, 1 + column], -1]
        return sizes

    def micro_kernels(self, rows: IntArray) -> npt.NDArray[np.uint64]:
        """Return a hash of the micro-kernel of every row, shape (n,), the same in every process.

        Rows have the same micro-kernel if the innermost sizes of all their tiles are equal, so that
        they agree in what is unrolled, vectorised and held in registers.
        """
        return self.keys(self.innermost(rows))

    # -- encoding

    @cached_property
    def alignment(self) -> tuple[tuple[int, ...], ...]:
        """The slot of each knob of every sketch; see `align`."""
        return align(self.sketches)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.sketches, self.alignment)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of `encode`.

        Spaces of the same structure have the same names, whatever their sizes.
        """
        return tuple(self._encoder.names)

    def encode(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Compute features for cost models and clustering, float32 of shape (n, d).

        See `Encoder` for the features.
        """
        return self._encoder(rows)


def random_moves(space: DesignSpace, rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Move each row once, outward or inward, along one random action dimension.

    Args:
        space: The design space of the rows.
        rows: Configurations as rows of indices, shape (n, 1 + width).
        rng: The source of randomness.

    Returns:
        The canonical rows after the move, shape (n, 1 + width).
    """
    actions = np.full((len(rows), space.move_dims), STAY, dtype=np.int32)
    dims = rng.integers(space.move_dims, size=len(rows))
    actions[np.arange(len(rows)), dims] = rng.choice((OUTWARD, INWARD), size=len(rows))
    return space.move(rows, actions)


def neighbours(space: DesignSpace, rows: IntArray) -> IntArray:
    """Return all distinct rows that are one move away from any of the given rows.

    The given rows, shape (n, 1 + width), are not part of the result.
    """
    count = space.move_dims
    actions = np.full((2 * count, count), STAY, dtype=np.int32)
    dims = np.arange(count)
    actions[2 * dims, dims], actions[2 * dims + 1, dims] = OUTWARD, INWARD
    spread = np.repeat(rows, 2 * count, axis=0)
    moved = space.unique(space.move(spread, np.tile(actions, (len(rows), 1))))
    return moved[~np.isin(space.keys(moved), space.keys(rows))]
