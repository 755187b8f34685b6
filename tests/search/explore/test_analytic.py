"""Configurations of the analytic model: legal, in registers, shared fairly, the same everywhere."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.explore.analytic import Core, promising
from chameleon_tuner.space import Choice, DesignSpace, IntArray, Knob, Location, Sketch, Tile
from chameleon_tuner.space.task import WIDE, Task
from chameleon_tuner.testing.landscapes import conv2d_space, matmul_space

ZEN = Core(lanes=8, registers=16, threads=2)
COUNT = 6


def product(spatial: tuple[int, ...], summed: tuple[int, ...], sketches: int = 1) -> DesignSpace:
    """Return the space of a product in MetaSchedule's structure SSRSRS."""
    tiles = [Tile(extent, 4, 64) for extent in spatial]
    reductions = [Tile(extent, 2, 64, spatial=False) for extent in summed]
    sketch = Sketch((*tiles, *reductions, Choice((0.0, 16.0, 64.0, 512.0))))
    return DesignSpace((sketch,) * sketches)


def values(space: DesignSpace, row: IntArray) -> list[tuple[int, ...]]:
    """Return the factors of the tiles of a row."""
    [configuration] = space.configurations(row[None])
    knobs: tuple[Knob, ...] = space.sketches[configuration.sketch].knobs
    pairs = zip(knobs, configuration.indices, strict=True)
    return [knob.value_at(index) for knob, index in pairs if isinstance(knob, Tile)]


@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=3),
    st.lists(st.integers(1, 120), min_size=1, max_size=1),
    st.sampled_from([ZEN, Core(16, 32, 8), Core(4, 16, 3)]),
)
def test_rows_are_legal_and_distinct(spatial: list[int], summed: list[int], core: Core) -> None:
    space = product(tuple(spatial), tuple(summed), sketches=3)
    rows = promising(space, core, COUNT)
    assert 3 <= len(rows) <= COUNT  # every sketch has a register tile
    np.testing.assert_array_equal(space.canonical(rows), rows)
    assert len(space.unique(rows)) == len(rows)
    assert all(map(space.contains, space.configurations(rows)))


@pytest.mark.parametrize("core", [ZEN, Core(16, 32, 2)])
def test_the_sums_of_a_product_stay_in_registers(core: Core) -> None:
    space = product((96, 768), (768,))
    for row in promising(space, core, 3):
        (*_, height), (*_, width), _ = values(space, row)
        vectors = width / core.lanes
        assert vectors in (1, 2, 4)
        assert height * vectors + vectors + 1 <= core.registers
        assert height * vectors >= 8  # and keep its units busy


@pytest.mark.parametrize("threads", [2, 6])
@pytest.mark.parametrize("spatial", [(1, 56, 56, 64), (1, 7, 7, 1152), (384, 384), (1, 1024)])
def test_threads_have_equal_shares(spatial: tuple[int, ...], threads: int) -> None:
    space = product(spatial, (1, 1, 192) if len(spatial) == 4 else (192,))
    for row in promising(space, Core(8, 16, threads), 3):
        shares = math.prod(value[0] for value in values(space, row)[: len(spatial)])
        assert math.ceil(shares / threads) * threads / shares < 1.2


def test_columns_are_whole_vectors_where_there_are_such() -> None:
    [row, *_] = promising(product((14, 14, 112), (672,)), ZEN, 1)
    assert values(product((14, 14, 112), (672,)), row)[2][-1] in (8, 16)
    odd = product((198, 198), (64,))
    [row, *_] = promising(odd, ZEN, 1)
    assert values(odd, row)[1][-1] > 1


def test_sketches_take_turns_from_the_last() -> None:
    rows = promising(product((96, 768), (768,), sketches=3), ZEN, 4)
    assert rows[:, 0].tolist() == [2, 1, 0, 2]


def test_padding_is_computed_where_the_work_is_shared() -> None:
    """In a loop over shares, which are the outermost parts of the tiles, or before all loops."""
    space, places = conv2d_space(), list[tuple[int, int] | None]()
    for configuration in space.configurations(promising(space, ZEN, COUNT)):
        knobs = space.sketches[configuration.sketch].knobs
        for knob, index in zip(knobs, configuration.indices, strict=True):
            if isinstance(knob, Location):
                place = knob.values[index]
                assert place >= -1
                places.append(knob.loops[place] if place >= 0 else None)
    assert {place[1] for place in places if place is not None} == {0}


def test_what_is_no_product_has_none() -> None:
    depthwise = product((1, 56, 56, 96), (3, 3))
    pooling = DesignSpace((Sketch((Tile(64, 2, 64), Tile(9, 2, 64, spatial=False))),))
    gpu = DesignSpace((Sketch((Tile(64, 5, 64), Tile(64, 3, 64, spatial=False))),))
    plain = DesignSpace((Sketch((Choice((0.0, 1.0)),)), Sketch(())))
    for space in (depthwise, pooling, gpu, plain):
        assert promising(space, ZEN, COUNT).shape == (0, 1 + space.width)


def test_the_core_of_a_task() -> None:
    task = Task("t", "key", "", {"num-cores": 4}, matmul_space(), vector_bits=WIDE)
    assert Core.of(task) == Core(lanes=16, registers=32, threads=4)
    assert Core.of(Task("t", "key", "", {}, matmul_space())).threads == 1


def test_another_process_expects_the_same() -> None:
    code = (
        "from chameleon_tuner.search.explore.analytic import Core, promising\n"
        "from chameleon_tuner.testing.landscapes import conv2d_space\n"
        "print(promising(conv2d_space(), Core(8, 16, 2), 6).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(promising(conv2d_space(), ZEN, COUNT).tolist())
