from __future__ import annotations

import itertools
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space import (
    Category,
    Choice,
    DesignSpace,
    Permutation,
    Table,
    booleans,
    configuration_at,
    integers,
    neighbours,
    parameter_space,
    powers_of_two,
    random_moves,
    values_at,
)
from chameleon_tuner.space.knob import values_of
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.testing.landscapes import constrained_space

PARAMETERS = {"a": [1, 2, 3, 4, 6], "b": [1, 2, 4, 8], "c": ["x", "y", "z"], "d": [0, 1, 2]}
RELATIONS = st.sampled_from(
    [
        "a * b <= 8",
        "4 <= a * b < 20",
        "b % a == 0",
        "d == 0 or a % d == 0",
        "c == 'x' or d > 0",
        "c in ('x', 'y') and b != 2",
        "not (a == 1 and b == 1)",
        "(a if d else b) <= 4",
        "min(a, b) < 4 and abs(a - b) >= 1",
        "a // 2 + 2 ** d <= max(b, 3)",
    ]
)
SEEDS = st.integers(0, 2**32 - 1)


def brute_force(relations: list[str]) -> list[tuple[Any, ...]]:
    rows = itertools.product(*PARAMETERS.values())
    names = tuple(PARAMETERS)
    checks = [compile(relation, "", "eval") for relation in relations]
    return [
        row
        for row in rows
        if all(eval(check, {}, dict(zip(names, row, strict=True))) for check in checks)  # noqa: S307
    ]


def spaces(relations: list[str]) -> DesignSpace | None:
    """The space of some relations, if they leave anything."""
    return parameter_space(PARAMETERS, relations) if brute_force(relations) else None


@given(st.lists(RELATIONS, max_size=4))
def test_what_is_legal_is_what_python_says(relations: list[str]) -> None:
    expected = brute_force(relations)
    space = spaces(relations)
    if space is None:
        with pytest.raises(UsageError, match="no combination of"):
            parameter_space(PARAMETERS, relations)
        return
    assert space.count == len(expected)
    every = space.sketches[0].every()
    found = {
        tuple(values_at(space, Configuration(0, tuple(row))).values()) for row in every.tolist()
    }
    assert found == set(expected)


@given(st.lists(RELATIONS, max_size=4), SEEDS)
def test_samples_moves_and_mutants_are_legal(relations: list[str], seed: int) -> None:
    space, rng = spaces(relations), np.random.default_rng(seed)
    if space is None:
        return
    rows = space.sample(30, rng)
    for made in (
        rows,
        random_moves(space, rows, rng),
        space.mutate(rows, rng),
        neighbours(space, rows),
    ):
        assert all(space.contains(one) for one in space.configurations(made))
        np.testing.assert_array_equal(space.canonical(made), made)


@given(st.lists(RELATIONS, min_size=1, max_size=3), SEEDS)
def test_repair_finds_the_nearest(relations: list[str], seed: int) -> None:
    space = spaces(relations)
    if space is None:
        return
    draws = np.random.default_rng(seed).random((10, 4))
    wild = np.column_stack([np.zeros(10), draws * space.sketches[0].sizes]).astype(np.int32)
    legal = space.sketches[0].every()
    category = list(PARAMETERS).index("c")
    for before, after in zip(wild[:, 1:], space.canonical(wild)[:, 1:], strict=True):
        steps = np.abs(legal - before)
        steps[:, category] = steps[:, category] > 0
        mine = np.abs(after - before)
        mine[category] = mine[category] > 0
        assert mine.sum() == steps.sum(axis=1).min()


def test_samples_are_uniform_over_what_is_legal() -> None:
    space = parameter_space(PARAMETERS, ["a * b <= 4", "c == 'x' or d > 0"])
    rows = space.sample(40_000, np.random.default_rng(0))
    _, counts = np.unique(space.keys(rows), return_counts=True)
    assert len(counts) == space.count == 7 * 7
    assert counts == pytest.approx([40_000 / space.count] * space.count, rel=0.2)


def test_knobs_without_constraints_multiply_and_are_not_enumerated() -> None:
    free = {f"free{n}": list(range(100)) for n in range(20)}
    space = parameter_space({"a": [1, 2, 3], "b": [1, 2, 3], **free}, ["a < b"])
    assert space.count == 3 * 100**20
    rows = space.sample(1000, np.random.default_rng(0))
    assert (rows[:, 1] < rows[:, 2]).all()


def test_a_large_space_takes_seconds() -> None:
    """The space of a hotspot kernel, of the size of Kernel Tuner's largest."""
    begin = time.monotonic()
    space = parameter_space(
        {
            "block_size_x": [1, 2, 4, 8, 16, *range(32, 1025, 32)],
            "block_size_y": powers_of_two(1, 32),
            "tile_size_x": integers(1, 10),
            "tile_size_y": integers(1, 10),
            "temporal_tiling_factor": integers(1, 10),
            "loop_unroll_factor_t": integers(1, 10),
            "sh_power": [0, 1],
            "blocks_per_sm": integers(0, 4),
        },
        [
            "32 <= block_size_x * block_size_y <= 1024",
            "temporal_tiling_factor % loop_unroll_factor_t == 0",
            "(block_size_x * tile_size_x + temporal_tiling_factor * 2) * (block_size_y * "
            "tile_size_y + temporal_tiling_factor * 2) * (2 + sh_power) * 4 <= 49152",
        ],
    )
    assert space.count == 414_920
    assert time.monotonic() - begin < 30


def test_functions_are_constraints() -> None:
    space = parameter_space(
        PARAMETERS, [lambda a, b: a < b, lambda p: p["c"] != "z" or p["d"] == 2]
    )
    every = [
        values_at(space, Configuration(0, tuple(row))) for row in space.sketches[0].every().tolist()
    ]
    assert len(every) == 9 * (2 * 3 + 1)
    assert all(one["a"] < one["b"] and (one["c"] != "z" or one["d"] == 2) for one in every)


def test_tables_are_constraints() -> None:
    table = Table(("a", "c"), ((1, "x"), (2, "y"), (3, "z"), (99, "x")))
    space = parameter_space(PARAMETERS, [table, "a < 3"])
    assert space.count == 2 * 4 * 3


def test_values_lead_to_the_configuration_and_back() -> None:
    space = constrained_space()
    for configuration in space.configurations(space.sample(50, np.random.default_rng(0))):
        values = values_at(space, configuration)
        assert configuration_at(space, values) == configuration
    assert values["order"] in itertools.permutations("ijk")
    assert isinstance(values["shared"], bool)


def test_kinds_follow_from_the_values() -> None:
    space = parameter_space(
        {"n": [1, 2.5], "t": ["a", "b"], "b": booleans(), "m": [1, "two"], "p": Permutation((1, 2))}
    )
    assert space.sketches[0].knobs == (
        Choice((1, 2.5)),
        Category(("a", "b")),
        Category((False, True)),
        Category((1, "two")),
        Permutation((1, 2)),
    )
    assert powers_of_two(1, 64) == Choice((1, 2, 4, 8, 16, 32, 64))
    assert integers(2, 8, 3) == Choice((2, 5, 8))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_any_category_is_one_move_from_any_other(count: int) -> None:
    moves = Category(tuple("abcdefg"[:count])).moves
    for value in range(count):
        assert set(moves[value].ravel().tolist()) == set(range(count))
        assert (moves[value, :, 1] == value).all()


def test_a_move_of_a_permutation_swaps_neighbours() -> None:
    knob = Permutation(("i", "j", "k", "l"))
    for index, value in enumerate(knob.values):
        for place in range(3):
            other = knob.values[knob.moves[index, place, 0]]
            assert other[place : place + 2] == value[place : place + 2][::-1]
            assert knob.moves[knob.moves[index, place, 0], place, 2] == index
    positions = knob.positions
    for value, where in zip(knob.values, positions.tolist(), strict=True):
        assert [value.index(item) for item in knob.items] == where


def test_categories_are_one_hot_and_permutations_positions() -> None:
    space = constrained_space()
    rows = space.sample(100, np.random.default_rng(0))
    features = dict(zip(space.feature_names, space.encode(rows).T, strict=True))
    layouts = np.stack([features[f"knob3.is{n}"] for n in range(3)], axis=1)
    np.testing.assert_array_equal(layouts.argmax(axis=1), rows[:, 4])
    assert (layouts.sum(axis=1) == 1).all()
    assert set(features["knob4"]) == {0, 1}
    np.testing.assert_array_equal(
        np.stack([features[f"knob5.at{n}"] for n in range(3)], axis=1),
        Permutation(("i", "j", "k")).positions[rows[:, 6]],
    )


def test_a_constrained_space_comes_back_from_json() -> None:
    space = constrained_space()
    back = from_plain(json.loads(json.dumps(to_plain(space))))
    assert back.count == space.count
    assert back.feature_names == space.feature_names
    rows = space.sample(20, np.random.default_rng(0))
    np.testing.assert_array_equal(back.sample(20, np.random.default_rng(0)), rows)
    assert all(back.contains(one) for one in space.configurations(rows))
    text = parameter_space(PARAMETERS, ["a < b", "c == 'x' or d > 0"])
    assert from_plain(to_plain(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a <", "cannot be read"),
        ("__import__('os').system('true')", "has"),
        ("a.real < 3", "has 'a.real'"),
        ("open(a) < 3", "open"),
        ("(lambda: a)()", "has"),
        ("[a for a in b]", "has"),
        ("3 < 4", "names no parameter"),
        ("a < e", "names 'e', which is no parameter"),
        ("a % d == 0", "cannot be computed at .*d=0"),
        ("a ** (b ** a) > 0", "exponent"),
        ("a < c", "cannot be computed"),
        ("a > 99", "no combination of a"),
        ("a" * 10 + " <= " + "(" * 300, "cannot be read"),
    ],
)
def test_a_bad_constraint_says_so(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parameter_space(PARAMETERS, [text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": []}, "no value"),
        ({"a": [1, 1]}, "twice"),
        ({"a": "abc"}, "no list"),
        ({"a": 3}, "no list"),
        ({"a b": [1]}, "no name"),
        ({"a": [None]}, "use numbers"),
        ({"a": [float("nan")]}, "use numbers"),
        ({"a": Permutation(tuple(range(9)))}, "at most"),
        ({"a": [[1, 2]]}, "use numbers"),
    ],
)
def test_a_bad_parameter_says_so(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parameter_space(parameters)


def test_bad_values_say_so() -> None:
    space = parameter_space(PARAMETERS, ["a < b"])
    good = {"a": 1, "b": 2, "c": "x", "d": 0}
    assert configuration_at(space, good).indices == (0, 1, 0, 0)
    for change, message in (
        ({"a": 5}, "a has no value 5"),
        ({"a": 3}, "breaks a constraint"),
        ({"aa": 1}, "did you mean 'a'"),
    ):
        with pytest.raises(UsageError, match=message):
            configuration_at(space, good | change)
    with pytest.raises(UsageError, match="c, d have no value"):
        configuration_at(space, {"a": 1, "b": 2})


def test_the_values_of_every_kind_of_knob_are_listed() -> None:
    for knob in constrained_space().sketches[0].knobs:
        assert len(values_of(knob)) == len(knob)


def test_a_parameter_with_one_value_has_no_feature() -> None:
    space = parameter_space({"a": [1, 2], "precision": [32], "layout": ["row"], "b": [0, 1]})
    assert space.feature_names == ("sketch0", "knob0", "knob3")
    rows = space.sample(10, np.random.default_rng(0))
    np.testing.assert_array_equal(space.encode(rows)[:, 1:], rows[:, [1, 4]])


def test_integers_have_their_powers_of_two_apart() -> None:
    space = parameter_space({"x": [16, 32, 48, 96, 0], "y": [1, 2, 4], "z": [0.5, 1.5]})
    assert space.feature_names == ("sketch0", "knob0", "knob0.twos", "knob0.odd", "knob1", "knob2")
    rows = space.rows([Configuration(0, (n, 0, 0)) for n in range(5)])
    found = space.encode(rows)[:, 2:4]
    expected = [[4, 0], [5, 0], [4, np.log2(3)], [5, np.log2(3)], [0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
