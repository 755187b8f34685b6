from __future__ import annotations

import contextlib

import pytest

from chameleon_tuner.system import clock as stopwatch
from chameleon_tuner.system.clock import Stopwatch


def test_what_is_counted_for_another_activity_is_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Candidates are proposed while others are built; what is interrupted counts, too."""
    now = 0.0
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now)
    clock = Stopwatch()
    with clock.timing("build"):
        now += 1.0
        with clock.timing("fit"):
            now += 2.0
        with contextlib.suppress(KeyError), clock.timing("explore"):
            now += 4.0
            with clock.timing("sample"):
                now += 8.0
                raise KeyError
        now += 16.0
    with clock.timing("fit"):
        now += 32.0
    now += 64.0
    assert clock.seconds() == {
        "total": 127.0,
        "explore": 4.0,
        "sample": 8.0,
        "fit": 34.0,
        "build": 17.0,
        "run": 0.0,
        "other": 64.0,
    }
