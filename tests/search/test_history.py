from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, Sketch

SPACE = DesignSpace((Sketch((Choice((0, 1, 2, 3)), Choice((0, 1, 2)))),))


def outcome(
    indices: tuple[int, int],
    secs: float = 1.0,
    status: Status = Status.OK,
    proposed: tuple[int, int] | None = None,
    module: str | None = None,
) -> Outcome:
    ran, asked = Configuration(0, indices), Configuration(0, proposed or indices)
    name = str(indices) if module is None else module
    return Outcome(ran, asked, name, status, (secs,) if status is Status.OK else ())


def rows(*indices: tuple[int, int]) -> np.ndarray:
    return SPACE.rows([Configuration(0, pair) for pair in indices])


def test_an_empty_history_knows_nothing() -> None:
    history = History(SPACE)
    assert len(history) == 0
    assert history.best is None
    assert history.best_secs == math.inf
    assert history.rows.shape == (0, 3)
    assert history.ranked().shape == (0, 3)
    assert not history.visited(rows((0, 0))).any()
    assert history.extend([]) == []


def test_outcomes_become_arrays() -> None:
    history = History(SPACE)
    failed = outcome((1, 0), status=Status.CRASHED)
    history.extend([outcome((0, 0), 3.0), failed])
    history.extend([outcome((2, 2), 2.0)])
    np.testing.assert_array_equal(history.rows, rows((0, 0), (1, 0), (2, 2)))
    np.testing.assert_array_equal(history.seconds, [3.0, math.inf, 2.0])
    np.testing.assert_array_equal(history.ranked(), rows((2, 2), (0, 0)))
    assert history.best is not None
    assert history.best.configuration == Configuration(0, (2, 2))
    assert history.best_secs == 2.0


def test_what_was_proposed_and_what_ran_are_both_visited() -> None:
    history = History(SPACE)
    history.extend([outcome((1, 0), proposed=(1, 2))])
    visited = history.visited(rows((1, 0), (1, 2), (1, 1)))
    assert visited.tolist() == [True, True, False]


def test_a_module_counts_once() -> None:
    history = History(SPACE)
    first = outcome((1, 0), 1.0, module="same")
    assert history.extend([first, outcome((1, 1), 1.0, module="same")]) == [first]
    assert history.extend([outcome((1, 2), 1.0, module="same")]) == []
    assert len(history) == len(history.rows) == len(history.seconds) == 1
    assert history.visited(rows((1, 0), (1, 1), (1, 2), (2, 0))).tolist() == [*[True] * 3, False]


def test_refused_configurations_are_told_apart() -> None:
    history = History(SPACE)
    refused = [outcome((n, 0), status=Status.REJECTED, module="") for n in (0, 1, 0)]
    assert history.extend(refused) == refused[:2]


@pytest.mark.parametrize("status", [Status.CENSORED, Status.TIMEOUT, Status.RUN_ERROR])
def test_only_ok_can_be_best(status: Status) -> None:
    history = History(SPACE)
    slow = outcome((0, 0), 9.0)
    history.extend([slow, Outcome(*[Configuration(0, (1, 1))] * 2, "fast", status, (0.1,))])
    assert history.best == slow


PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 2))


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(PAIRS, st.floats(0.1, 9.0)), max_size=6), max_size=4))
def test_batches_make_no_difference(batches: list[list[tuple[tuple[int, int], float]]]) -> None:
    """One batch after the other, or all at once: the same history."""
    whole, parts = History(SPACE), History(SPACE)
    for batch in batches:
        parts.extend([outcome(*pair) for pair in batch])
    whole.extend([outcome(*pair) for batch in batches for pair in batch])
    assert whole.outcomes == parts.outcomes
    np.testing.assert_array_equal(whole.rows, parts.rows)
    np.testing.assert_array_equal(whole.seconds, parts.seconds)
    np.testing.assert_array_equal(whole.ranked(), parts.ranked())
    everything = SPACE.sample(40, np.random.default_rng(0))
    np.testing.assert_array_equal(whole.visited(everything), parts.visited(everything))
    assert whole.best_secs == min(whole.seconds, default=math.inf)


@pytest.mark.parametrize(
    ("seconds", "stalled"),
    [
        ([], False),
        ([2.0, 2.0], False),  # too few to say
        ([2.0, 2.0, 3.0], True),
        ([2.0, 3.0, 1.0], False),
        ([2.0, 1.99, 3.0], True),  # within the resolution
        ([2.0, 1.9, 3.0], False),
        ([3.0, 1.9, 3.0, 2.0], True),
        ([math.inf, math.inf, 2.0], False),
        ([math.inf, math.inf, math.inf], False),
    ],
)
def test_stalled_is_no_gain_in_the_last_two(seconds: list[float], stalled: bool) -> None:
    history = History(SPACE)
    every = [(a, b) for a in range(4) for b in range(3)]
    history.extend(
        [
            outcome(where, secs, Status.OK if math.isfinite(secs) else Status.TIMEOUT)
            for where, secs in zip(every, seconds, strict=False)
        ]
    )
    assert history.stalled(2, 0.01) == stalled
