from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner import tuner
from chameleon_tuner.errors import UsageError
from chameleon_tuner.machine import usable_cores
from chameleon_tuner.schedule import EFFORTS, parse_duration
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.tuner import (
    FINISH_SECS,
    FINISH_SECS_A_KERNEL,
    LEAST_SEARCH,
    LEAST_SLOWNESS,
    MOST_SLOWNESS,
    START_SECS,
    START_SECS_A_KERNEL,
    Options,
)


@pytest.mark.parametrize(
    ("text", "kernels", "search_secs"),
    [
        ("10m", 20, 600 - FINISH_SECS - 20 * FINISH_SECS_A_KERNEL),
        ("30s", 20, LEAST_SEARCH * 30),
    ],
)
def test_a_time_budget_leaves_time_to_finish(text: str, kernels: int, search_secs: float) -> None:
    start = START_SECS + kernels * START_SECS_A_KERNEL
    budget = Options(time_budget=text).budget(kernels, Clock(start))
    assert budget.search_secs == search_secs
    left = max(search_secs - start, LEAST_SEARCH * parse_duration(text))
    assert budget.deadline - time.monotonic() == pytest.approx(left, abs=1.0)


@pytest.mark.parametrize(
    ("options", "trials"),
    [
        (Options(), 3 * EFFORTS["standard"]),
        (Options(time_budget="10m"), 3 * EFFORTS["full"]),
        (Options(time_budget="10m", effort="quick"), 3 * EFFORTS["quick"]),
        (Options(time_budget="10m", trials=7), 7),
    ],
)
def test_a_time_budget_alone_is_not_cut_off_by_the_usual_trials(
    options: Options, trials: int
) -> None:
    assert options.budget(3, Stopwatch()).trials == trials


class Clock(Stopwatch):
    """Has run for so long."""

    def __init__(self, secs: float) -> None:
        super().__init__()
        self._secs = secs

    def total(self) -> float:
        """The seconds."""
        return self._secs


@pytest.mark.parametrize("slowness", [0.5, 0.8, 1.0, 1.5, 10.0])
def test_a_machine_that_began_slowly_has_more_time_to_finish(slowness: float) -> None:
    """What is asked for is the same: a run that goes on proposes what it proposed."""
    start = START_SECS + 20 * START_SECS_A_KERNEL
    finish = FINISH_SECS + 20 * FINISH_SECS_A_KERNEL

    budget = Options(time_budget="10m").budget(20, Clock(slowness * start))
    assert budget.search_secs == 600 - finish
    left = 600 - min(max(LEAST_SLOWNESS, slowness), MOST_SLOWNESS) * finish - slowness * start
    assert budget.deadline - time.monotonic() == pytest.approx(left, abs=1.0)


def test_a_long_start_leaves_time_to_search() -> None:
    budget = Options(time_budget="90s").budget(20, Clock(85.0))
    assert budget.deadline - time.monotonic() == pytest.approx(LEAST_SEARCH * 90, abs=1.0)


def test_as_many_candidates_are_built_together_as_keep_the_cores_busy(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def scheduler(*arguments: Any, **named: Any) -> None:
        given.update(named)
        raise UsageError("enough seen")

    monkeypatch.setattr(tuner, "GradientScheduler", scheduler)
    with pytest.raises(UsageError, match="enough seen"):
        tuner.tune(tiny_onnx, tmp_path / "out")
    assert given == {"together": min(4 * usable_cores(), 64)}


def test_without_one_only_trials_count() -> None:
    budget = Options(effort="quick").budget(3, Stopwatch())
    assert (budget.trials, budget.out_of_time()) == (192, False)
