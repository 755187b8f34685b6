from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.search.schedule import EFFORTS, Budget, parse_duration, trials_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("1.5m", 90), ("1h1m1s", 3661)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "10x", "0s", "5m3h", "1 m", "m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration; write"):
        parse_duration(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(1, 59))
def test_any_duration_adds_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


def test_efforts_grow_and_scale_with_tasks() -> None:
    assert sorted(EFFORTS.values()) == list(EFFORTS.values())
    assert trials_of("quick", 20) == 20 * EFFORTS["quick"]
    with pytest.raises(UsageError, match="use one of instant, quick, standard, full"):
        trials_of("enormous", 1)


def test_a_deadline_passes() -> None:
    assert not Budget(1).out_of_time()
    assert Budget(1, time.monotonic() - 1).out_of_time()
