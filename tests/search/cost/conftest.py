from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from importlib import resources

import numpy as np
import numpy.typing as npt
import pytest

from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Location, Sketch, Tile

Recording = tuple[DesignSpace, IntArray, npt.NDArray[np.float64]]
HistoryOf = Callable[[DesignSpace, IntArray, npt.NDArray[np.float64]], History]


def _nchw_sketch() -> Sketch:
    tiles = [Tile(extent, 4, 64) for extent in (1, 64, 56, 56)]
    tiles += [Tile(extent, 2, 64, spatial=False) for extent in (64, 3, 3)]
    levels = ((range(4), 0), (range(4), 1), (range(4, 7), 0), (range(4), 2), (range(4, 7), 1))
    loops = tuple((tile, part) for tiles, part in (*levels, (range(4), 3)) for tile in tiles)
    return Sketch((*tiles, Choice((0, 16, 64, 512)), Location(loops, inlinable=True)))


@pytest.fixture(scope="session")
def nchw() -> Recording:
    """600 random schedules of a convolution: space, rows and seconds."""
    packed = resources.files("chameleon_tuner.testing") / "conv2d_nchw.jsonl.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    records = [json.loads(line) for line in lines]
    sketch = _nchw_sketch()
    rows = np.zeros((len(records), 1 + len(sketch.knobs)), dtype=np.int32)
    for row, record in zip(rows, records, strict=True):
        for column, (knob, decision) in enumerate(
            zip(sketch.knobs, record["decisions"], strict=True), start=1
        ):
            if isinstance(knob, Tile):
                row[column] = knob.index_of(tuple(decision))
            else:
                row[column] = decision[0] + 2 * isinstance(knob, Location)
    return DesignSpace((sketch,)), rows, np.array([record["seconds"] for record in records])


@pytest.fixture
def history_of() -> HistoryOf:
    """Makes a history of rows that ran in these seconds."""

    def make(space: DesignSpace, rows: IntArray, seconds: npt.NDArray[np.float64]) -> History:
        history = History(space)
        history.extend(
            [
                Outcome(c, c, str(c), Status.OK, (secs,))
                for c, secs in zip(space.configurations(rows), seconds.tolist(), strict=True)
            ]
        )
        return history

    return make
