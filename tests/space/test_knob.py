from __future__ import annotations

import time
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.space import INWARD, OUTWARD, STAY, Choice, Location, Tile

EXTENTS = st.sampled_from([1, 2, 3, 7, 12, 14, 49, 56, 64, 96, 127, 147, 210, 576, 768, 1000])
TILES = st.builds(Tile, EXTENTS, st.integers(1, 4), st.sampled_from([1, 2, 16, 64, 1024]))


def reached(moves: np.ndarray, start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        for neighbour in set(moves[waiting.pop()].ravel().tolist()) - seen:
            seen.add(neighbour)
            waiting.append(neighbour)
    return seen


@given(TILES)
def test_a_tile_has_every_legal_factorisation_once(tile: Tile) -> None:
    factors = tile.factors.tolist()
    assert factors == sorted(factors)
    assert len({*map(tuple, factors)}) == len(factors) == len(tile)
    assert all(prod(row) == tile.extent for row in factors)
    unlimited = Tile(tile.extent, tile.parts, tile.extent).factors.tolist()
    assert factors == [row for row in unlimited if row[-1] <= tile.max_innermost]


@given(TILES)
def test_index_and_value_are_inverse(tile: Tile) -> None:
    assert [tile.index_of(tile.value_at(n)) for n in range(len(tile))] == [*range(len(tile))]
    with pytest.raises(KeyError):
        tile.index_of((tile.extent + 1,) * tile.parts)


@given(TILES)
def test_a_move_shifts_iterations_across_one_boundary(tile: Tile) -> None:
    assert tile.moves.shape == (len(tile), tile.parts - 1, 3)
    for boundary in range(tile.parts - 1):
        before = tile.factors
        outward, stay, inward = (tile.factors[tile.moves[:, boundary, a]] for a in range(3))
        np.testing.assert_array_equal(stay, before)
        inner = boundary + 1
        assert (outward[:, inner] <= before[:, inner]).all()
        assert (inward[:, inner] >= before[:, inner]).all()
        elsewhere = np.delete(np.arange(tile.parts), [boundary, inner])
        np.testing.assert_array_equal(outward[:, elsewhere], before[:, elsewhere])
        np.testing.assert_array_equal(inward[:, elsewhere], before[:, elsewhere])


@given(TILES)
def test_inward_undoes_outward(tile: Tile) -> None:
    here = np.arange(len(tile))
    for boundary in range(tile.parts - 1):
        for action, inverse in ((OUTWARD, INWARD), (INWARD, OUTWARD)):
            there = tile.moves[:, boundary, action]
            back = tile.moves[there, boundary, inverse]
            moved = there != here
            np.testing.assert_array_equal(back[moved], here[moved])
        stuck = tile.moves[:, boundary, OUTWARD] == here
        np.testing.assert_array_equal(stuck, tile.factors[:, boundary + 1] == 1)


@given(TILES.filter(lambda tile: tile.parts > 1))
def test_every_value_can_be_reached_from_every_other(tile: Tile) -> None:
    everything = set(range(len(tile)))
    assert reached(tile.moves, 0) == everything
    assert reached(tile.moves, len(tile) - 1) == everything


def test_a_tile_of_one_part_has_one_value_and_no_moves() -> None:
    assert Tile(6, 1, 64).factors.tolist() == [[6]]
    assert Tile(6, 1, 64).moves.shape == (1, 0, 3)


def test_a_large_tile_is_made_quickly() -> None:
    begin = time.perf_counter()
    assert len(Tile(50176, 5, 64).moves) == 13110
    assert time.perf_counter() - begin < 2.0  # 0.03 s alone on a machine


@pytest.mark.parametrize(
    "knob", [Choice((0, 16, 64)), Location((None,), inlinable=True)], ids=["choice", "location"]
)
def test_a_list_is_walked_step_by_step(knob: Choice | Location) -> None:
    assert len(knob) == len(knob.values) == 3
    assert knob.moves[:, 0, OUTWARD].tolist() == [0, 0, 1]
    assert knob.moves[:, 0, STAY].tolist() == [0, 1, 2]
    assert knob.moves[:, 0, INWARD].tolist() == [1, 2, 2]


def test_values_of_a_location() -> None:
    assert Location(((0, 0), None), inlinable=False).values == (-2, -1, 0, 1)
