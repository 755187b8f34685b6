"""The design space of a task: its sketches, as arrays.

A batch of configurations is an int32 array of *rows* (n, 1 + width): the sketch, then the index
of each of its knobs, padded with zeros up to the widest sketch. Everything here is vectorised
over rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from chameleon_tuner.space.configuration import Configuration
from chameleon_tuner.space.distinct import first_of_each
from chameleon_tuner.space.encoding import Encoder
from chameleon_tuner.space.knob import INWARD, OUTWARD, IntArray, Tile
from chameleon_tuner.space.sketch import Sketch, align

# Any constant would do; it has to be the same in every process.
_KEY_SEED = 0x9E3779B97F4A7C15


@cache
def _key_factors(columns: int) -> npt.NDArray[np.uint64]:
    """Odd numbers, (2, columns)."""
    generator = np.random.default_rng(_KEY_SEED)
    drawn = generator.integers(1, 2**63, size=(2, columns), dtype=np.uint64)
    factors = np.asarray(drawn * np.uint64(2) + np.uint64(1))
    factors.setflags(write=False)
    return factors


@dataclass(frozen=True)
class DesignSpace:
    """All schedules that a search may choose from, as sketches of knobs.

    Attributes:
        sketches: at least one.
    """

    sketches: tuple[Sketch, ...]

    @property
    def count(self) -> int:
        """How many configurations, locations counted as if all were legal."""
        return sum(sketch.count for sketch in self.sketches)

    @property
    def width(self) -> int:
        """Knobs of the widest sketch; a row has one column more."""
        return max(len(sketch.knobs) for sketch in self.sketches)

    # -- rows and configurations

    def rows(self, configurations: Sequence[Configuration]) -> IntArray:
        """Rows (n, 1 + width) of configurations."""
        rows = np.zeros((len(configurations), 1 + self.width), dtype=np.int32)
        for row, configuration in zip(rows, configurations, strict=True):
            row[0] = configuration.sketch
            row[1 : 1 + len(configuration.indices)] = configuration.indices
        return rows

    def configurations(self, rows: IntArray) -> list[Configuration]:
        """Inverse of `rows`."""
        listed = rows.tolist()
        knobs = [len(sketch.knobs) for sketch in self.sketches]
        return [Configuration(row[0], tuple(row[1 : 1 + knobs[row[0]]])) for row in listed]

    def contains(self, configuration: Configuration) -> bool:
        """Whether the configuration's sketch and indices exist."""
        if not 0 <= configuration.sketch < len(self.sketches):
            return False
        sizes = self.sketches[configuration.sketch].sizes.tolist()
        indices = configuration.indices
        return len(indices) == len(sizes) and all(
            0 <= index < size for index, size in zip(indices, sizes, strict=True)
        )

    def keys(self, rows: IntArray) -> npt.NDArray[np.uint64]:
        """A 64-bit hash of every row, (n,), the same in every process.

        Two of a million rows share a key with probability below 1e-7.
        """
        factors = _key_factors(rows.shape[1])
        mixed = (rows.astype(np.uint64) + np.uint64(1)) * factors[0]
        mixed = (mixed ^ (mixed >> np.uint64(31))) * factors[1]
        summed = mixed.sum(axis=1, dtype=np.uint64)
        return np.asarray(summed ^ (summed >> np.uint64(29)), dtype=np.uint64)

    def unique(self, rows: IntArray) -> IntArray:
        """The rows without repeats, in order of first appearance."""
        kept: IntArray = rows[first_of_each(self.keys(rows))]
        return kept

    # -- sampling

    def sample(self, count: int, rng: np.random.Generator) -> IntArray:
        """`count` rows, uniform over sketches and over the values of each knob; canonical."""
        rows = np.zeros((count, 1 + self.width), dtype=np.int32)
        rows[:, 0] = rng.integers(len(self.sketches), size=count)
        draws = rng.random((count, self.width))
        for number, sketch in enumerate(self.sketches):
            mine = rows[:, 0] == number
            knobs = len(sketch.knobs)
            rows[mine, 1 : 1 + knobs] = (draws[mine, :knobs] * sketch.sizes).astype(np.int32)
        return self.canonical(rows)

    def canonical(self, rows: IntArray) -> IntArray:
        """Rows with every illegal location replaced as TVM would; idempotent."""
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
        """Action dimensions: the sketch, then every boundary or list of the widest sketch."""
        return 1 + max(
            sum(int(knob.moves.shape[1]) for knob in sketch.knobs) for sketch in self.sketches
        )

    def move(self, rows: IntArray, actions: npt.NDArray[np.integer]) -> IntArray:
        """Apply actions (n, move_dims) of {OUTWARD, STAY, INWARD}; canonical rows come back.

        Dimension 0 goes to the previous or next sketch, after the other moves (see `transfer`);
        the others are the boundaries of the tiles and the lists of the choices and locations,
        knob by knob. Dimensions beyond a sketch's own do nothing.
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
        """The paper's moves: actions (n, width), one step in the ordered list of each knob."""
        sizes = self.sizes[rows[:, 0]]
        moved = np.clip(rows[:, 1:] + actions - 1, 0, np.maximum(sizes - 1, 0))
        return self.canonical(np.column_stack([rows[:, 0], moved]).astype(np.int32))

    @cached_property
    def sizes(self) -> IntArray:
        """Values of every knob of every sketch, padded with zeros: (sketches, width)."""
        sizes = np.zeros((len(self.sketches), self.width), dtype=np.int32)
        for number, sketch in enumerate(self.sketches):
            sizes[number, : len(sketch.knobs)] = sketch.sizes
        return sizes

    def mutate(self, rows: IntArray, rng: np.random.Generator, knobs: int = 1) -> IntArray:
        """Redraw `knobs` random knobs of every row uniformly (AutoTVM's random walk for 1)."""
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

    def neighbours(self, row: IntArray) -> IntArray:
        """All distinct rows one move away from one row (1 + width,): (m, 1 + width)."""
        actions = np.ones((2 * self.move_dims, self.move_dims), dtype=np.int32)
        for dim in range(self.move_dims):
            actions[2 * dim, dim], actions[2 * dim + 1, dim] = OUTWARD, INWARD
        moved = self.move(np.repeat(row[None, :], len(actions), axis=0), actions)
        changed = (moved != row[None, :]).any(axis=1)
        return self.unique(moved[changed])

    def transfer(self, rows: IntArray, sketch: npt.NDArray[np.integer]) -> IntArray:
        """Rows carried to other sketches (n,): knobs in common keep their value, others get 0.

        A location that the other sketch does not have becomes its last one.
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
        """Pairs of knob numbers that stand for the same decision in two sketches."""
        places = {slot: number for number, slot in enumerate(self.alignment[new])}
        return [(n, places[slot]) for n, slot in enumerate(self.alignment[old]) if slot in places]

    # -- micro-kernels

    def innermost(self, rows: IntArray) -> IntArray:
        """The innermost size of every tile by its slot, 0 where there is none: (n, slots)."""
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
        """A number for the micro-kernel of every row, (n,), the same in every process.

        Rows with one micro-kernel agree in the innermost sizes of all tiles: in what is unrolled,
        vectorised and held in registers.
        """
        return self.keys(self.innermost(rows))

    # -- encoding

    @cached_property
    def alignment(self) -> tuple[tuple[int, ...], ...]:
        """For every sketch, the slot of each knob; like decisions share a slot."""
        return align(self.sketches)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.sketches, self.alignment)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the columns of `encode` are; like spaces have the same, whatever their sizes."""
        return tuple(self._encoder.names)

    def encode(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Features for cost models and clustering: float32 (n, d). See `Encoder`."""
        return self._encoder(rows)
