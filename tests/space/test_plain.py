from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space import Choice, DesignSpace, Knob, Location, Sketch, Tile
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.testing.landscapes import tiny_space, two_sketch_space

TILES = st.builds(
    Tile,
    st.sampled_from([1, 3, 12, 56, 768]),
    st.integers(2, 4),
    st.sampled_from([2, 64]),
    st.booleans(),
)
NUMBERS = st.integers(0, 512) | st.floats(0, 512)
CHOICES = st.builds(Choice, st.lists(NUMBERS, min_size=1, max_size=4).map(tuple))


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    knobs: list[Knob] = draw(st.lists(TILES | CHOICES, max_size=5))
    loops = [(n, p) for n, k in enumerate(knobs) if isinstance(k, Tile) for p in range(k.parts)]
    places = st.lists(st.sampled_from([*loops, None]), max_size=6).map(tuple)
    locations = st.lists(st.builds(Location, places, st.booleans()), max_size=2)
    return Sketch((*knobs, *draw(locations)))


SPACES = st.builds(DesignSpace, st.lists(sketches(), min_size=1, max_size=3).map(tuple))


@given(SPACES)
def test_a_space_comes_back_from_json(space: DesignSpace) -> None:
    back = from_plain(json.loads(json.dumps(to_plain(space))))
    assert back == space
    assert to_plain(back) == to_plain(space)
    assert back.feature_names == space.feature_names


@given(SPACES, st.integers(0, 2**32 - 1))
def test_the_space_that_comes_back_does_the_same(space: DesignSpace, seed: int) -> None:
    back = from_plain(to_plain(space))
    rows = space.sample(5, np.random.default_rng(seed))
    np.testing.assert_array_equal(back.sample(5, np.random.default_rng(seed)), rows)
    np.testing.assert_array_equal(back.encode(rows), space.encode(rows))


def test_what_a_tile_and_a_location_look_like() -> None:
    tile, choice, location = to_plain(tiny_space())[0]
    assert tile == {"kind": "tile", "extent": 4, "parts": 2, "max_innermost": 64, "spatial": True}
    assert choice == {"kind": "choice", "values": [0, 1, 2]}
    assert location == {"kind": "location", "loops": [[0, 0], [0, 1]], "inlinable": True}


@pytest.mark.parametrize("data", [None, 3, "space", {}, [], [3], [[3]], [[{"kind": "tile"}]]])
def test_what_is_no_space_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="not a design space"):
        from_plain(data)


@pytest.mark.parametrize(
    ("knob", "field", "value"),
    [
        (0, "kind", "tiles"),
        (0, "extent", 0),
        (0, "extent", 2**31),
        (0, "extent", "64"),
        (0, "parts", 0),
        (0, "max_innermost", 0),
        (0, "spatial", None),
        (3, "values", []),
        (3, "values", [0, "16"]),
        (3, "values", [float("nan")]),
        (4, "loops", [[0]]),
        (4, "loops", [[0, 4]]),
        (4, "loops", [[3, 0]]),
        (4, "loops", [[9, 0]]),
        (4, "inlinable", None),
    ],
)
def test_a_damaged_knob_is_refused(knob: int, field: str, value: Any) -> None:
    data = deepcopy(to_plain(two_sketch_space()))
    data[1][knob][field] = value
    with pytest.raises(UsageError, match="not a design space"):
        from_plain(data)


def test_a_tile_without_any_factors_is_refused() -> None:
    with pytest.raises(UsageError, match="no knob"):
        from_plain(to_plain(DesignSpace((Sketch((Tile(67, 1, 64),)),))))
