from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.report.compare.curves import Steps, band, bands, best_finals, steps_of
from chameleon_tuner.report.style import base, shortened, strokes

latencies = st.lists(st.floats(1, 1e4), min_size=1, max_size=8)


def curve(best_us: list[float], recipe: str = "a", task: str = "t", seed: int = 0) -> Curve:
    at = list(range(1, len(best_us) + 1))
    final = best_us[-1] if best_us else math.inf
    return Curve(recipe, task, seed, at, at, [0] * len(at), best_us, best_us, final, 0.5, 12.0, 10)


def test_a_step_function_holds_its_value_and_takes_the_last_of_a_batch() -> None:
    steps = Steps(np.array([1.0, 2.0, 2.0]), np.array([9.0, 8.0, 7.0]), 5)
    found = steps.at(np.array([0.5, 1.0, 1.9, 2.0, 5.0]))
    assert np.array_equal(found, [np.nan, 9, 9, 7, 7], equal_nan=True)


@given(st.lists(latencies, min_size=1, max_size=5))
def test_the_mean_lies_in_its_band_and_ends_at_the_mean_of_the_last(
    seeds: list[list[float]],
) -> None:
    made = band([[steps_of(curve(us), "seconds", 1.0)] for us in seeds])
    assert (made.low <= made.middle * (1 + 1e-9)).all()
    assert (made.middle <= made.high * (1 + 1e-9)).all()
    assert made.middle[-1] == pytest.approx(np.exp(np.mean(np.log([us[-1] for us in seeds]))))
    assert made.x[-1] == 12


def test_a_line_begins_once_every_task_has_an_incumbent() -> None:
    late = Curve("a", "u", 0, [4], [3], [0], [6.0], [6.0], 6.0, 0.5, 9.0, 10)
    found = bands([curve([8.0, 2.0]), late], {"t": 2.0, "u": 3.0}, "seconds")["a"]
    assert found.x[0] == 4
    assert found.middle[0] == pytest.approx(math.sqrt(1 * 2))


def test_an_incumbent_that_does_not_run_is_a_gap() -> None:
    found = bands([curve([8.0, math.inf, 2.0])], {"t": 2.0}, "measurements")["a"]
    assert np.array_equal(found.middle[:3], [4, np.nan, 1], equal_nan=True)


def test_recipes_without_a_whole_seed_have_no_line() -> None:
    curves = [curve([8.0]), curve([], "b"), curve([math.inf], "c"), curve([7.0], "a", "u")]
    assert list(bands(curves, best_finals(curves), "seconds")) == ["a"]


def test_many_seeds_make_no_endless_line() -> None:
    seeds = [[steps_of(curve(list(np.linspace(900, 1, 400) + n)), "seconds", 1)] for n in range(3)]
    assert len(band(seeds).x) <= 160


def test_colours_depend_on_the_name_alone_and_dashes_tell_twins_apart() -> None:
    found = strokes(["metaschedule", "metaschedule:256", "mine", "chameleon"])
    assert found["metaschedule"].colour == found["metaschedule:256"].colour
    assert found["metaschedule"].dashes != found["metaschedule:256"].dashes
    assert found["mine"] == strokes(["mine"])["mine"]
    assert found["chameleon"].width > found["metaschedule"].width
    assert base("metaschedule:256") == "metaschedule"


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_shortened_name_fits(name: str, most: int) -> None:
    assert len(shortened(name, most)) <= most
