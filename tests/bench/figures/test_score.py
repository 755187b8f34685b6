from __future__ import annotations

import math

import numpy as np
import pytest

from chameleon_tuner.bench.figures.score import Scale, scores
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.runlog import RunLog, Trial

SCALE = Scale(np.sort(np.exp(np.random.default_rng(0).normal(size=1000))))


def run(seconds: list[float], recipe: str = "one", seed: int = 0) -> RunLog:
    trials = tuple(
        Trial(Configuration(0, (n,)), Status.OK if s < math.inf else Status.BUILD_ERROR, s)
        for n, s in enumerate(seconds)
    )
    return RunLog(recipe, "task", seed, 0.0, 1.0, trials=trials)


def test_the_optimum_at_once_is_one() -> None:
    found = scores([run([SCALE.seconds[0], *SCALE.seconds[-50:]])], {"task": SCALE})["one"]
    assert found.score.value == 1
    assert found.within == 1
    assert found.tasks["task"].to_optimum == 1


def test_random_search_is_zero() -> None:
    rng = np.random.default_rng(1)
    logs = [run(rng.permutation(SCALE.seconds).tolist(), seed=seed) for seed in range(200)]
    found = scores(logs, {"task": SCALE})["one"]
    assert found.tasks["task"].budget == SCALE.cutoff
    assert found.score.value == pytest.approx(0, abs=0.15)  # the baseline rounds its ranks
    assert found.score.low is not None
    assert found.score.high is not None
    assert found.score.low < found.score.value < found.score.high


def test_failures_count_as_evaluations() -> None:
    good = [SCALE.seconds[0]] * 10
    late = scores([run([math.inf] * 5 + good)], {"task": SCALE})["one"]
    assert late.score.value < 1
    assert late.failed == pytest.approx(5 / 15)
    assert late.tasks["task"].to_optimum == 6


def test_a_run_that_finds_nothing_is_the_worst() -> None:
    found = scores([run([math.inf] * 20)], {"task": SCALE})["one"]
    assert found.score.value < 0
    assert found.within == 0
    assert math.isinf(found.tasks["task"].to_optimum)


def test_tasks_without_a_scale_have_no_score() -> None:
    assert scores([run([1.0])], {}) == {}


def test_random_search_without_replacement_is_expected_to_improve() -> None:
    base = SCALE.baseline(500)
    assert (np.diff(base) <= 0).all()
    rng = np.random.default_rng(2)
    drawn = [np.minimum.accumulate(rng.permutation(SCALE.seconds))[99] for _ in range(2000)]
    assert np.searchsorted(SCALE.seconds, base[99]) == pytest.approx(
        np.searchsorted(SCALE.seconds, drawn).mean(), abs=2
    )


def test_the_cutoff_is_where_random_search_comes_95_percent_of_the_way() -> None:
    goal = SCALE.seconds[0] + 0.05 * (np.median(SCALE.seconds) - SCALE.seconds[0])
    reached = SCALE.baseline(SCALE.cutoff)[-1]
    ranks = np.searchsorted(SCALE.seconds, [goal, reached])
    assert ranks[0] == pytest.approx(ranks[1], abs=2)


def test_the_score_of_a_space_of_equals_is_finite() -> None:
    found = scores([run([2.0, 1.0, 1.0])], {"task": Scale(np.array([1.0, 1.0, 2.0]))})["one"]
    assert math.isfinite(found.score.value)


def test_the_numbers_of_the_communitys_package() -> None:
    """`autotuning_methodology` 1.1.0 on the same space and runs, to all digits that it prints."""
    seconds = np.sort(np.round(1 + np.arange(200) ** 1.5 / 100, 6))
    rng = np.random.default_rng(3)
    logs = [run(rng.permutation(seconds)[:60].tolist(), seed=seed) for seed in range(4)]
    found = scores(logs, {"task": Scale(seconds)})["one"].tasks["task"]
    assert found.cutoff == EXPECTED_CUTOFF
    assert found.score == pytest.approx(EXPECTED_SCORE, abs=1e-9)


EXPECTED_CUTOFF, EXPECTED_SCORE = 13, -0.003046449450968167
