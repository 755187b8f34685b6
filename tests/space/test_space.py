from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from math import prod

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.space import (
    INWARD,
    OUTWARD,
    STAY,
    Choice,
    DesignSpace,
    IntArray,
    Knob,
    Location,
    Sketch,
    Tile,
    neighbours,
)
from chameleon_tuner.space.encoding import MISSING
from chameleon_tuner.space.sketch import _legal_loops

TILES = st.builds(
    Tile,
    st.sampled_from([1, 3, 7, 12, 56, 64, 768]),
    st.integers(2, 4),
    st.sampled_from([2, 64]),
    st.booleans(),
)
CHOICES = st.builds(Choice, st.sampled_from([(0,), (0, 1), (0, 16, 64, 512)]))


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    knobs: list[Knob] = draw(st.lists(TILES | CHOICES, max_size=5))
    loops = [(n, p) for n, k in enumerate(knobs) if isinstance(k, Tile) for p in range(k.parts)]
    places = st.sampled_from([*loops, None]) if draw(st.booleans()) else st.sampled_from(loops)
    if loops and draw(st.booleans()):
        knobs.append(Location(tuple(draw(st.lists(places, max_size=8))), draw(st.booleans())))
    return Sketch(tuple(knobs))


SPACES = st.builds(DesignSpace, st.lists(sketches(), min_size=1, max_size=3).map(tuple))
SEEDS = st.integers(0, 2**32 - 1)


def conv2d() -> DesignSpace:
    spatial = tuple(Tile(extent, 4, 64) for extent in (1, 56, 56, 64))
    reduction = tuple(Tile(extent, 2, 64, spatial=False) for extent in (3, 3, 64))
    loops = tuple((tile, part) for part in range(4) for tile in range(4))
    padding = Location(loops, inlinable=True)
    tiled = Sketch((*spatial, *reduction, Choice((0, 16, 64, 512)), padding))
    return DesignSpace((tiled, Sketch((*spatial, *reduction, Choice((0, 16, 64, 512))))))


def assert_legal(space: DesignSpace, rows: IntArray) -> None:
    """Every index exists, the padding is zero, and locations are as TVM would take them."""
    assert rows.dtype == np.int32
    assert all(space.contains(c) for c in space.configurations(rows))
    np.testing.assert_array_equal(space.rows(space.configurations(rows)), rows)
    np.testing.assert_array_equal(space.canonical(rows), rows)


def tiles_and_choices(space: DesignSpace, rows: IntArray) -> npt.NDArray[np.bool_]:
    """Which entries (n, width) are neither locations nor padding."""
    kept = np.zeros((len(rows), space.width), dtype=bool)
    for line, number in enumerate(rows[:, 0]):
        for column, knob in enumerate(space.sketches[number].knobs):
            kept[line, column] = not isinstance(knob, Location)
    return kept


# -- rows and configurations


@given(SPACES, SEEDS)
def test_samples_are_legal_and_survive_the_way_through_json(space: DesignSpace, seed: int) -> None:
    rows = space.sample(20, np.random.default_rng(seed))
    assert rows.shape == (20, 1 + space.width)
    assert_legal(space, rows)
    configurations = space.configurations(rows)
    texts = [json.dumps(c.to_json()) for c in configurations]
    assert [Configuration.from_json(json.loads(text)) for text in texts] == configurations
    again = space.sample(20, np.random.default_rng(seed))
    np.testing.assert_array_equal(again, rows)


def test_samples_are_uniform_over_sketches_and_values() -> None:
    rows = conv2d().sample(4000, np.random.default_rng(0))
    assert np.bincount(rows[:, 0]) == pytest.approx([2000, 2000], rel=0.1)
    assert np.bincount(rows[:, 8]) == pytest.approx([1000] * 4, rel=0.15)


@pytest.mark.parametrize(
    ("sketch", "indices"),
    [(2, [0] * 9), (-1, [0] * 9), (0, [0] * 8), (0, [0] * 10), (0, [-1, *[0] * 8]), (0, [99] * 9)],
)
def test_what_does_not_exist_is_not_contained(sketch: int, indices: list[int]) -> None:
    assert conv2d().contains(Configuration(0, (0,) * 9))
    assert not conv2d().contains(Configuration(sketch, tuple(indices)))


@given(SPACES)
def test_count_and_sizes(space: DesignSpace) -> None:
    assert space.count == sum(prod(len(k) for k in s.knobs) for s in space.sketches)
    for number, sketch in enumerate(space.sketches):
        assert space.sizes[number].sum() == sum(len(knob) for knob in sketch.knobs)


@given(SPACES, SEEDS)
def test_equal_rows_and_only_they_share_a_key(space: DesignSpace, seed: int) -> None:
    rows = space.sample(30, np.random.default_rng(seed))
    keys = space.keys(rows)
    same = (rows[:, None, :] == rows[None, :, :]).all(axis=2)
    np.testing.assert_array_equal(keys[:, None] == keys[None, :], same)
    unique = space.unique(rows)
    first = [n for n in range(len(rows)) if not same[n, :n].any()]
    np.testing.assert_array_equal(unique, rows[first])


def test_no_two_of_many_rows_share_a_key() -> None:
    space = conv2d()
    rows = np.unique(space.sample(100_000, np.random.default_rng(0)), axis=0)
    assert len(np.unique(space.keys(rows))) == len(rows)


# -- locations


def legal_loops(extents: list[int], spatial: list[bool]) -> list[bool]:
    """TVM's rule, loop by loop from the outside."""
    last_spatial = max((n for n, s in enumerate(spatial) if s), default=-1)
    legal, reduced = [False] * len(extents), False
    for number, (extent, is_spatial) in enumerate(zip(extents, spatial, strict=True)):
        if extent == 1:
            continue
        if (is_spatial and reduced) or (not is_spatial and number > last_spatial):
            break
        legal[number] = True
        reduced |= not is_spatial
    return legal


@given(st.lists(st.tuples(st.sampled_from([1, 1, 2, 5]), st.booleans()), max_size=9))
def test_legal_loops(loops: list[tuple[int, bool]]) -> None:
    extents, spatial = [e for e, _ in loops], [s for _, s in loops]
    found = _legal_loops(np.array([extents], dtype=np.int32), np.array(spatial, dtype=bool))
    assert found[0].tolist() == legal_loops(extents, spatial)


@given(SPACES, SEEDS)
def test_an_illegal_location_becomes_the_next_legal_one_below(
    space: DesignSpace, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    raw = space.sample(20, rng)
    draws = rng.random((20, space.width)) * space.sizes[raw[:, 0]]
    raw[:, 1:] = draws.astype(np.int32)
    canonical = space.canonical(raw)
    assert_legal(space, canonical)
    kept = tiles_and_choices(space, raw)
    np.testing.assert_array_equal(canonical[:, 1:][kept], raw[:, 1:][kept])
    root = 1
    assert ((canonical[:, 1:] <= raw[:, 1:]) | (canonical[:, 1:] == root)).all()


def test_locations_among_unknown_loops_are_taken_as_they_are() -> None:
    sketch = Sketch((Tile(4, 2, 64), Location(((0, 0), None, (0, 1)), inlinable=False)))
    rows = np.array([[0, 0, location] for location in range(5)], dtype=np.int32)
    assert DesignSpace((sketch,)).canonical(rows)[:, 2].tolist() == [1, 1, 2, 3, 4]


# -- moves


@given(SPACES, SEEDS)
def test_moves_stay_legal(space: DesignSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = space.sample(20, rng)
    for _ in range(4):
        rows = space.move(rows, rng.integers(3, size=(20, space.move_dims)))
        assert_legal(space, rows)


@given(SPACES, SEEDS)
def test_to_stay_everywhere_changes_nothing(space: DesignSpace, seed: int) -> None:
    rows = space.sample(20, np.random.default_rng(seed))
    stay = np.full((20, space.move_dims), STAY)
    np.testing.assert_array_equal(space.move(rows, stay), rows)
    np.testing.assert_array_equal(space.step(rows, np.full((20, space.width), STAY)), rows)


@given(SPACES, SEEDS, st.integers(1, 30))
def test_inward_undoes_outward(space: DesignSpace, seed: int, dim: int) -> None:
    rows = space.sample(20, np.random.default_rng(seed))
    actions = np.full((20, space.move_dims), STAY)
    if dim >= space.move_dims:
        return
    kept = tiles_and_choices(space, rows)
    actions[:, dim] = OUTWARD
    there = space.move(rows, actions)
    actions[:, dim] = INWARD
    back = space.move(there, actions)
    moved = ((there != rows)[:, 1:] & kept).any(axis=1)
    np.testing.assert_array_equal(back[moved, 1:][kept[moved]], rows[moved, 1:][kept[moved]])


@given(SPACES, SEEDS)
def test_steps_of_the_paper_move_every_index_by_one_at_most(space: DesignSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = space.sample(20, rng)
    actions = rng.integers(3, size=(20, space.width))
    stepped = space.step(rows, actions)
    assert_legal(space, stepped)
    kept = tiles_and_choices(space, rows)
    wanted = rows[:, 1:] + actions - 1
    inside = (wanted >= 0) & (wanted < space.sizes[rows[:, 0]])
    expected = np.where(inside, wanted, rows[:, 1:])
    np.testing.assert_array_equal(stepped[:, 1:][kept], expected[kept])


@given(SPACES, SEEDS, st.integers(1, 3))
def test_a_mutation_changes_few_knobs(space: DesignSpace, seed: int, knobs: int) -> None:
    rng = np.random.default_rng(seed)
    rows = space.sample(20, rng)
    mutated = space.mutate(rows, rng, knobs)
    assert_legal(space, mutated)
    np.testing.assert_array_equal(mutated[:, 0], rows[:, 0])
    changed = (mutated != rows)[:, 1:] & tiles_and_choices(space, rows)
    assert (changed.sum(axis=1) <= knobs).all()


@given(SPACES, SEEDS)
def test_neighbours_are_legal_distinct_and_not_the_row(space: DesignSpace, seed: int) -> None:
    [row] = space.sample(1, np.random.default_rng(seed))
    near = neighbours(space, row[None])
    assert_legal(space, near)
    assert len(space.unique(near)) == len(near)
    assert not (near == row).all(axis=1).any()
    assert len(near) <= 2 * space.move_dims


@given(st.lists(TILES | CHOICES, max_size=5), SEEDS)
def test_to_be_neighbours_is_mutual(knobs: list[Knob], seed: int) -> None:
    space = DesignSpace((Sketch(tuple(knobs)),))
    [row] = space.sample(1, np.random.default_rng(seed))
    for neighbour in neighbours(space, row[None]):
        assert (neighbours(space, neighbour[None]) == row).all(axis=1).any()


# -- sketches


@given(SPACES, SEEDS)
def test_transfer_keeps_what_sketches_have_in_common(space: DesignSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = space.sample(20, rng)
    sketch = rng.integers(len(space.sketches), size=20)
    carried = space.transfer(rows, sketch)
    np.testing.assert_array_equal(carried[:, 0], sketch)
    assert all(space.contains(c) for c in space.configurations(carried))
    same = rows[:, 0] == sketch
    np.testing.assert_array_equal(carried[same], rows[same])
    alignment = space.alignment
    for before, after in zip(rows, carried, strict=True):
        places = {slot: n for n, slot in enumerate(alignment[after[0]])}
        for number, slot in enumerate(alignment[before[0]]):
            knob = space.sketches[before[0]].knobs[number]
            if slot in places and not isinstance(knob, Location):
                assert after[1 + places[slot]] == before[1 + number]


def test_like_knobs_share_a_slot_and_no_two_of_a_sketch_do() -> None:
    first, second = conv2d().alignment
    assert first == tuple(range(9))
    assert second == first[:8]


@given(SPACES)
def test_slots_hold_knobs_of_one_kind(space: DesignSpace) -> None:
    slots: dict[int, set[object]] = {}
    for sketch, aligned in zip(space.sketches, space.alignment, strict=True):
        assert len(set(aligned)) == len(aligned) == len(sketch.knobs)
        for knob, slot in zip(sketch.knobs, aligned, strict=True):
            kind = Location if isinstance(knob, Location) else knob
            slots.setdefault(slot, set()).add(kind)
    assert all(len(kinds) == 1 for kinds in slots.values())


@given(space=SPACES, seed=SEEDS)
def test_micro_kernels_are_the_innermost_sizes_of_all_tiles(space: DesignSpace, seed: int) -> None:
    """Of equal sizes in equal slots, and of nothing else: 20 rows by pairs, against one by one."""
    rows = space.sample(20, np.random.default_rng(seed))

    def sizes(configuration: Configuration) -> dict[int, int]:
        sketch = configuration.sketch
        knobs = zip(space.sketches[sketch].knobs, space.alignment[sketch], strict=True)
        return {
            slot: knob.value_at(index)[-1]
            for (knob, slot), index in zip(knobs, configuration.indices, strict=True)
            if isinstance(knob, Tile)
        }

    known = [sizes(one) for one in space.configurations(rows)]
    found = space.micro_kernels(rows)
    same = [[one == other for other in known] for one in known]
    assert ((found[:, None] == found) == np.array(same)).all()


def test_a_space_without_knobs_has_one_point() -> None:
    space, rng = DesignSpace((Sketch(()),)), np.random.default_rng(0)
    rows = space.sample(3, rng)
    assert rows.tolist() == [[0]] * 3
    assert space.count == 1
    assert space.configurations(rows) == [Configuration(0, ())] * 3
    assert space.contains(Configuration(0, ()))
    assert len(space.unique(rows)) == 1
    assert space.move(rows, rng.integers(3, size=(3, space.move_dims))).tolist() == [[0]] * 3
    assert space.step(rows, np.ones((3, 0), dtype=np.int64)).tolist() == [[0]] * 3
    assert space.mutate(rows, rng).tolist() == [[0]] * 3
    assert neighbours(space, rows[0][None]).shape == (0, 1)
    assert np.isfinite(space.encode(rows)).all()


# -- features


@given(SPACES, SEEDS)
def test_features_are_finite_and_those_of_the_row_alone(space: DesignSpace, seed: int) -> None:
    rows = space.sample(20, np.random.default_rng(seed))
    features = space.encode(rows)
    assert features.dtype == np.float32
    assert features.shape == (20, space.encode(rows[:1]).shape[1])
    assert np.isfinite(features).all()
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(space.encode(rows[order]), features[order])
    np.testing.assert_array_equal(space.encode(rows[7:8]), features[7:8])


@given(SPACES, SEEDS)
def test_different_rows_have_different_features(space: DesignSpace, seed: int) -> None:
    rows = space.unique(space.sample(20, np.random.default_rng(seed)))
    assert len(np.unique(space.encode(rows), axis=0)) == len(rows)


def test_features_of_a_tile_by_hand() -> None:
    space = DesignSpace((Sketch((Tile(12, 3, 64), Tile(8, 2, 64, spatial=False))),))
    row = space.rows([Configuration(0, (Tile(12, 3, 64).index_of((3, 2, 2)), 1))])
    named = dict(zip(space._encoder.names, space.encode(row)[0].tolist(), strict=True))
    assert named["sketch0"] == 1.0
    assert [named[f"knob0.{part}"] for part in range(3)] == pytest.approx([np.log2(3), 1, 1])
    assert named["knob0.inner1"] == pytest.approx(2.0)
    assert [named[f"knob1.{part}"] for part in range(2)] == pytest.approx([1, 2])
    assert named["spatial3.inner0"] == pytest.approx(1.0)
    assert named["spatial3.inner1"] == pytest.approx(2.0)
    assert named["spatial3.outer"] == pytest.approx(np.log2(3))
    assert named["reduction2.inner0"] == pytest.approx(2.0)
    assert named["innermost"] == pytest.approx(3.0)


def test_features_of_a_choice_and_a_location_by_hand() -> None:
    tile = Tile(12, 3, 64)
    location = Location(((0, 0), None, (0, 2)), inlinable=True)
    space = DesignSpace((Sketch((tile, Choice((0, 16, 64)), location)), Sketch((Tile(8, 1, 64),))))
    factors = tile.index_of((3, 2, 2))
    places = range(len(location))
    rows = space.rows([Configuration(0, (factors, 2, place)) for place in places])
    found = [dict(zip(space._encoder.names, row, strict=True)) for row in space.encode(rows)]
    assert [one["knob1"] for one in found] == [2.0] * 5
    assert [one["knob2"] for one in found] == [0.0, 1.0, 2.0, 3.0, 4.0]
    outside = [0.0, 0.0, np.log2(3), np.log2(3), np.log2(3) + 1]
    assert [one["knob2.outside"] for one in found] == pytest.approx(outside)
    assert {one["spatial1.outer"] for one in found} == {MISSING}
    [other] = space.encode(space.rows([Configuration(1, (0,))]))
    named = dict(zip(space._encoder.names, other.tolist(), strict=True))
    present = {"sketch1": 1.0, "knob3.0": 3.0, "spatial1.outer": 3.0, "innermost": 3.0}
    assert named == dict.fromkeys(named, MISSING) | {"sketch0": 0.0} | present


def test_thousands_are_encoded_in_no_time() -> None:
    space = conv2d()
    rows = space.sample(5000, np.random.default_rng(0))
    begin = time.perf_counter()
    assert len(space.encode(rows)) == 5000
    assert time.perf_counter() - begin < 0.5  # 0.01 s alone on a machine


# -- other processes


def digest() -> str:
    """Of everything that has to be the same in every process."""
    space, rng = conv2d(), np.random.default_rng(5)
    rows = space.sample(50, rng)
    moved = space.move(rows, rng.integers(3, size=(50, space.move_dims)))
    arrays = [rows, moved, space.mutate(moved, rng), space.keys(rows), space.encode(moved)]
    arrays.append(neighbours(space, rows[0][None]))
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_another_process_has_the_same_space() -> None:
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['digest']())"
    for seed in ("0", "1"):
        output = subprocess.run(
            [sys.executable, "-c", code, __file__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert output.stdout.strip() == digest()
