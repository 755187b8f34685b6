from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.merit import RecipeMerit, figures_of_merit
from chameleon_tuner.bench.figures.runs import Estimate, geomean
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.system.files import strict_json


def made(recipe: str, best_us: list[float], task: str = "t-1", seed: int = 0, **other: object):
    """A run whose nth incumbent comes at measurement 10n, second 10n and step 100(n - 1)."""
    count = len(best_us)
    points = [10 * (number + 1) for number in range(count)]
    whole = {
        "seconds": [float(point) for point in points],
        "measurements": points,
        "steps": [100 * number for number in range(count)],
        "best_us": best_us,
        "own_us": best_us,
        "final_us": best_us[-1] if best_us else math.inf,
        "startup_secs": 5.0,
        "total_secs": 100.0,
        "trials": 100,
        "total_steps": 1000,
    }
    return Curve(recipe, task, seed, **{**whole, **other})


def against(curves: list[Curve], recipe: str = "ours", reference: str = "ref") -> RecipeMerit:
    return figures_of_merit(curves, reference).recipes[recipe]


def test_final_latency_is_a_geomean_over_tasks_and_seeds():
    curves = [
        made("ref", [8.0], "t-1"),
        made("ours", [4.0], "t-1"),
        made("ref", [8.0], "t-2", 0),
        made("ours", [8.0], "t-2", 0),
        made("ref", [4.0], "t-2", 1),
        made("ours", [16.0], "t-2", 1),
    ]
    figure = against(curves).at_equal_trials
    # Task 1: 1/2. Task 2: geomean of 1 and 4 is 2. Over the tasks: 1.
    assert figure.value == pytest.approx(1.0)
    assert figure.pairs == 3
    assert against(curves).final_us == {"t-1": pytest.approx(4), "t-2": pytest.approx(128**0.5)}


def test_equal_trials_are_the_smaller_number_of_trials():
    reference = made("ref", [8.0, 4.0, 2.0], trials=30)
    ours = made("ours", [8.0, 6.0], trials=20)
    assert against([reference, ours]).at_equal_trials.value == pytest.approx(6 / 4)
    assert against([reference, ours], "ref", "ours").at_equal_trials.value == pytest.approx(4 / 6)


def test_equal_wall_clock_is_the_smaller_total_by_task():
    reference = [made("ref", [8.0, 4.0, 2.0], task, total_secs=30.0) for task in ("t-1", "t-2")]
    ours = [made("ours", [8.0, 8.0], "t-1", total_secs=25.0), made("ours", [8.0, 8.0, 2.0], "t-2")]
    # Task 1 at 25 s: 8 against 4. Task 2 at 30 s: 2 against 2.
    assert against(reference + ours).at_equal_secs.value == pytest.approx(2**0.5)


def test_a_run_that_broke_off_does_not_stop_the_reference():
    reference = made("ref", [8.0, 4.0, 2.0])
    broken = made("ours", [8.0], trials=10, total_secs=10.0, error="out of disk")
    figures = against([reference, broken])
    assert figures.at_equal_trials.value == figures.at_equal_secs.value == pytest.approx(4.0)
    assert figures.errors == 1


def test_the_incumbent_counts_even_where_an_earlier_one_was_faster():
    ours = made("ours", [4.0, 8.0])
    assert against([made("ref", [4.0]), ours]).at_equal_trials.value == pytest.approx(2.0)


def test_nothing_found_is_infinitely_slow_and_counted():
    curves = [made("ref", [8.0], seed=seed) for seed in (0, 1)]
    curves += [made("ours", [4.0], seed=0), made("ours", [], seed=1)]
    figures = against(curves)
    assert figures.unfinished == 1
    assert math.isinf(figures.at_equal_trials.value)
    assert figures.at_equal_trials.low == pytest.approx(0.5)
    assert math.isinf(figures.at_equal_trials.high or 0)
    assert math.isinf(figures.final_us["t-1"])
    plain = json.loads(json.dumps(strict_json(figures), allow_nan=False))
    approx = pytest.approx(0.5)
    assert plain["at_equal_trials"] == {"value": None, "low": approx, "high": None, "pairs": 2}


def test_where_the_reference_found_nothing_there_is_nothing_to_divide_by():
    curves = [made("ref", [], seed=0), made("ref", [8.0], seed=1)]
    curves += [made("ours", [1.0], seed=0), made("ours", [8.0], seed=1)]
    figures = against(curves)
    assert figures.at_equal_trials == Estimate(pytest.approx(1.0), pairs=1)
    assert figures_of_merit(curves, "ref").recipes["ref"].unfinished == 1


def test_speed_up_strict_and_whole():
    reference = made("ref", [8.0, 5.0, 4.0])
    ours = made("ours", [4.0, 3.0], startup_secs=2.0)
    got = against([reference, ours]).reach
    assert (got.reached, got.runs) == (1, 1)
    assert got.seconds.strict.value == pytest.approx(30 / 10)
    assert got.seconds.whole.value == pytest.approx(100 / 10)
    assert got.searching.strict.value == pytest.approx(25 / 8)
    assert got.searching.whole.value == pytest.approx(95 / 8)
    assert got.measurements.strict.value == pytest.approx(30 / 10)
    assert got.measurements.whole.value == pytest.approx(100 / 10)


@pytest.mark.parametrize(("best", "reached"), [(4.04, 1), (4.05, 0)])
def test_reached_means_within_one_percent(best: float, reached: int):
    assert against([made("ref", [4.0]), made("ours", [best])]).reach.reached == reached


def test_never_reached_counts_as_the_whole_budget():
    curves = [made("ref", [8.0, 4.0]), made("ours", [8.0], total_secs=200.0, trials=160)]
    got = against(curves).reach
    assert (got.reached, got.runs) == (0, 1)
    assert got.seconds.strict.value == pytest.approx(20 / 200)
    assert got.seconds.whole.value == pytest.approx(100 / 200)
    assert got.measurements.strict.value == pytest.approx(20 / 160)


def test_giving_up_early_is_not_fast():
    curves = [made("ref", [8.0, 4.0]), made("ours", [8.0], total_secs=1.0, trials=1)]
    got = against(curves).reach
    assert got.reached == 0
    assert got.seconds.whole.value == pytest.approx(1.0)
    assert got.measurements.whole.value == pytest.approx(1.0)


def test_the_references_own_runs_may_never_reach_its_geomean():
    curves = [made("ref", [4.0], seed=0), made("ref", [16.0], seed=1)]
    curves += [made("ours", [8.0], seed=seed) for seed in (0, 1)]
    merit = figures_of_merit(curves, "ref")
    assert (merit.recipes["ref"].reach.reached, merit.recipes["ref"].reach.runs) == (1, 2)
    assert merit.recipes["ours"].reach.reached == 2
    # The reference's seconds are 10 and, never having got there, 100.
    assert merit.recipes["ours"].reach.seconds.strict.value == pytest.approx(10**0.5)


def test_steps_to_convergence_against_annealing_with_the_same_sampler():
    curves = [
        made("annealing+greedy:64", [8.0, 4.0, 2.0], total_steps=500),
        made("ppo+greedy:64", [8.0, 2.01, 2.0]),
        made("ppo+adaptive:64", [8.0, 4.0]),
        made("random", [8.0, 4.0], total_steps=0),
    ]
    recipes = figures_of_merit(curves).recipes
    ppo = recipes["ppo+greedy:64"].exploration
    assert ppo.to_converge.value == pytest.approx(100)
    assert ppo.per_trial == pytest.approx(10)
    assert ppo.fewer is not None
    assert ppo.fewer.value == pytest.approx(2)
    assert recipes["ppo+adaptive:64"].exploration.fewer is None
    assert math.isnan(recipes["random"].exploration.per_trial)
    assert recipes["random"].exploration.to_converge.pairs == 0


def test_a_run_that_explored_for_nothing_has_not_converged_fast():
    curves = [made("annealing+greedy", [2.0]), made("ppo+greedy", [8.0, 2.0])]
    assert figures_of_merit(curves).recipes["ppo+greedy"].exploration.fewer == Estimate(
        pytest.approx(math.nan, nan_ok=True)
    )


def test_failures_and_where_the_time_went():
    curves = [
        made("ref", [8.0], seed=0, failures={"timeout": 1, "crashed": 3}, spent={"fit": 1.0}),
        made("ref", [8.0], seed=1, failures={"timeout": 5}, spent={"fit": 3.0, "run": 4.0}),
        made("ref", [8.0], seed=2, startup_secs=20.0),
    ]
    figures = against(curves, "ref")
    assert list(figures.failures) == ["timeout", "crashed"]
    assert figures.failures["timeout"].count == 6
    assert figures.failures["timeout"].share == pytest.approx(0.02)
    assert figures.spent == {"fit": 2.0, "run": 2.0}
    assert figures.startup_secs == pytest.approx(10.0)
    assert (figures.runs, figures.trials) == (3, 300)


@pytest.mark.parametrize(
    ("recipes", "reference"),
    [
        (["a", "autotvm", "metaschedule:256"], "metaschedule:256"),
        (["a", "autotvm:64", "random"], "autotvm:64"),
        (["a", "random"], "a"),
    ],
)
def test_default_reference(recipes: list[str], reference: str):
    merit = figures_of_merit([made(recipe, [1.0]) for recipe in recipes])
    assert merit.reference == reference
    assert list(merit.recipes) == recipes


def test_what_cannot_be_compared_is_said():
    with pytest.raises(UsageError, match="run the tuners"):
        figures_of_merit([])
    with pytest.raises(UsageError, match="choose one of a"):
        figures_of_merit([made("a", [1.0])], "b")
    with pytest.raises(UsageError, match="two runs of a on t-1 have seed 0"):
        figures_of_merit([made("a", [1.0]), made("a", [2.0])])


def test_recipes_without_a_common_run_have_nothing_to_compare():
    figures = against([made("ref", [1.0], seed=0), made("ours", [1.0], seed=1)])
    assert math.isnan(figures.at_equal_trials.value)
    assert figures.at_equal_trials.pairs == figures.reach.runs == 0


def test_interval_is_the_bootstraps_over_seeds():
    logs = np.log(np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]))
    estimate = geomean(logs)
    # The chance of drawing the same extreme seed three times is 1/27, more than 2.5%.
    assert (estimate.low, estimate.high) == (pytest.approx(1.0), pytest.approx(4.0))
    assert estimate.value == pytest.approx(2.0)
    assert estimate == geomean(logs)


def test_interval_narrows_to_the_standard_error():
    logs = np.random.default_rng(1).normal(0.0, 0.1, (1, 400))
    estimate = geomean(logs)
    assert estimate.low is not None
    assert estimate.high is not None
    width = math.log(estimate.high / estimate.low)
    assert width == pytest.approx(2 * 1.96 * logs.std() / 20, rel=0.1)


def test_one_seed_has_no_interval():
    assert geomean(np.zeros((3, 1))) == Estimate(1.0, None, None, 3)


latencies = st.lists(st.floats(1.0, 1e4), min_size=0, max_size=4)


@st.composite
def comparisons(draw: st.DrawFn) -> list[Curve]:
    keys = [(r, t, s) for r in ("ref", "ours", "x") for t in ("t-1", "t-2") for s in range(3)]
    kept = draw(st.lists(st.sampled_from(keys), unique=True))
    curves = [
        made(
            recipe,
            draw(latencies),
            task,
            seed,
            total_secs=draw(st.floats(40.0, 400.0)),
            trials=draw(st.integers(40, 400)),
        )
        for recipe, task, seed in kept
        if (recipe, task, seed) != ("ref", "t-1", 0)
    ]
    return [made("ref", draw(latencies)), *curves]


@settings(deadline=None, max_examples=50)
@given(comparisons())
def test_reference_against_itself_is_one(curves: list[Curve]):
    own = against(curves, "ref")
    ratios = [own.at_equal_trials, *(g.strict for g in (own.reach.seconds, own.reach.measurements))]
    for figure in ratios:
        assert figure.value == 1.0 if figure.pairs else math.isnan(figure.value)
        assert (figure.low, figure.high) in {(1.0, 1.0), (None, None)}


@settings(deadline=None, max_examples=50)
@given(comparisons(), st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_all_latencies_leaves_the_ratios(curves: list[Curve], factor: float):
    scaled = [
        replace(c, best_us=[us * factor for us in c.best_us], final_us=c.final_us * factor)
        for c in curves
    ]
    before, after = figures_of_merit(curves, "ref"), figures_of_merit(scaled, "ref")
    for recipe, one in before.recipes.items():
        other = after.recipes[recipe]
        assert other.at_equal_trials.value == pytest.approx(one.at_equal_trials.value, nan_ok=True)
        assert other.reach.reached == one.reach.reached


@settings(deadline=None, max_examples=50)
@given(comparisons(), st.randoms(use_true_random=False))
def test_order_of_the_curves_does_not_matter(curves: list[Curve], order: random.Random):
    shuffled = order.sample(curves, len(curves))
    assert strict_json(figures_of_merit(shuffled, "ref")) == strict_json(
        figures_of_merit(curves, "ref")
    )


@settings(deadline=None, max_examples=50)
@given(comparisons())
def test_what_never_got_there_is_never_faster(curves: list[Curve]):
    for figures in figures_of_merit(curves, "ref").recipes.values():
        got = figures.reach
        assert 0 <= got.reached <= got.runs
        if got.runs and not got.reached:
            assert got.seconds.whole.value <= 1.0 + 1e-12
            assert got.measurements.strict.value <= 1.0 + 1e-12
    json.dumps(strict_json(figures_of_merit(curves, "ref")), allow_nan=False)
