"""Configurations carried over to spaces of other extents are legal, near, and the same at home."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.space import Choice, DesignSpace, Location, Sketch, Tile
from chameleon_tuner.space.carry import carried


def space_of(
    rows: int, columns: int, depth: int, unroll: tuple[float, ...] = (0, 16, 64)
) -> DesignSpace:
    knobs = (
        Tile(rows, 4, 64),
        Tile(columns, 4, 64),
        Tile(depth, 2, 64, spatial=False),
        Location(((0, 0), (1, 0), (0, 1), (1, 1)), inlinable=True),
        Choice(unroll),
    )
    return DesignSpace((Sketch(knobs), Sketch(knobs[:3])))


extents = st.integers(1, 96)
spaces = st.builds(space_of, extents, extents, extents)


@settings(deadline=None, max_examples=30)
@given(source=spaces, target=spaces, seed=st.integers(0, 9))
def test_what_is_carried_over_is_of_the_other_space(
    source: DesignSpace, target: DesignSpace, seed: int
) -> None:
    rows = source.sample(20, np.random.default_rng(seed))
    found = carried(rows, source, target)
    assert len(found) == len(rows)
    assert (found[:, 0] == rows[:, 0]).all()
    assert all(target.contains(one) for one in target.configurations(found))
    assert (target.canonical(found) == found).all()


@settings(deadline=None, max_examples=20)
@given(space=spaces, seed=st.integers(0, 9))
def test_at_home_nothing_changes(space: DesignSpace, seed: int) -> None:
    rows = space.sample(20, np.random.default_rng(seed))
    assert (carried(rows, space, space) == rows).all()


def test_inner_sizes_stay_and_the_outermost_takes_what_is_left() -> None:
    small, large = space_of(28, 64, 64), space_of(56, 128, 256, unroll=(0, 64, 512))
    knobs = small.sketches[0].knobs
    indices = [
        knobs[0].index_of((2, 2, 1, 7)),
        knobs[1].index_of((1, 4, 1, 16)),
        knobs[2].index_of((16, 4)),
        3,
        1,
    ]
    row = np.array([[0, *indices]], dtype=np.int32)
    [found] = carried(row, small, large).tolist()
    after = large.sketches[0].knobs
    assert after[0].value_at(found[1]) == (4, 2, 1, 7)
    assert after[1].value_at(found[2]) == (2, 4, 1, 16)
    assert after[2].value_at(found[3]) == (64, 4)
    assert (found[4], after[4].values[found[5]]) == (3, 64)  # 16 is nearer to 64 than to 0


def test_sketches_of_another_structure_are_left_out() -> None:
    source = space_of(8, 8, 8)
    target = DesignSpace((Sketch((Tile(8, 3, 64),)), source.sketches[1]))
    rows = source.sample(40, np.random.default_rng(0))
    found = carried(rows, source, target)
    assert (found[:, 0] == 1).all()
    assert len(found) == (rows[:, 0] == 1).sum() > 0
    assert carried(rows[:0], source, target).shape == (0, 1 + target.width)
