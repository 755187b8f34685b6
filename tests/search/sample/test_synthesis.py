from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.sample.adaptive import modes, synthesise
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.testing.landscapes import conv2d_space, two_sketch_space


@given(
    columns=st.integers(1, 4),
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    seed=st.integers(0, 1000),
)
def test_modes_against_counting(columns: int, labels: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = np.unique(labels, return_inverse=True)[1]
    values = rng.integers(0, 5, (len(labels), columns)).astype(np.int32)
    found = modes(values, number, np.ones(len(labels)))
    for cluster in range(number.max() + 1):
        for column in range(columns):
            votes = Counter(values[number == cluster, column].tolist())
            most = max(votes.values())
            assert found[cluster, column] == min(v for v, n in votes.items() if n == most)


def test_votes_are_weighted() -> None:
    values = np.array([[1], [1], [2]], dtype=np.int32)
    labels = np.zeros(3, dtype=np.int64)
    assert modes(values, labels, np.array([1.0, 1.0, 3.0])).tolist() == [[2]]


def test_what_members_have_in_common_needs_to_be_no_member() -> None:
    space = DesignSpace((Sketch((Choice((0, 1)),) * 3),))
    rows = np.array([[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]], dtype=np.int32)
    labels = np.zeros(3, dtype=np.int64)
    assert synthesise(space, rows, labels, np.ones(3)).tolist() == [[0, 0, 0, 0]]


def test_only_members_of_the_most_common_sketch_vote() -> None:
    space = DesignSpace((Sketch((Choice((0, 1, 2)),)), Sketch((Choice((0, 1, 2)),))))
    rows = np.array([[0, 1], [0, 1], [1, 2], [1, 2], [1, 0]], dtype=np.int32)
    labels = np.zeros(5, dtype=np.int64)
    assert synthesise(space, rows, labels, np.ones(5)).tolist() == [[1, 2]]


@pytest.mark.parametrize("space", [conv2d_space(), two_sketch_space()], ids=["conv2d", "two"])
def test_what_is_made_is_legal(space: DesignSpace) -> None:
    rng = np.random.default_rng(0)
    rows = space.sample(300, rng)
    labels = np.arange(300) % 40
    made = synthesise(space, rows, labels, rng.random(300))
    assert made.shape == (40, 1 + space.width)
    assert np.array_equal(space.canonical(made), made)
    assert all(space.contains(made) for made in space.configurations(made))
