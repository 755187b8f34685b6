from __future__ import annotations

import json
import math

import numpy as np
import pytest

from chameleon_tuner.bench.versus.results import Duel, Timed, interval, timed
from chameleon_tuner.system.files import strict_json


def with_errors(*errors: float | None) -> Duel:
    runtimes = [Timed(f"r{n}", "1", 1.0, (1.0, 1.0), e, None) for n, e in enumerate(errors)]
    return Duel("m", "c", 2, runtimes, [], [], 15, 0.3)


def test_an_interval_is_around_the_median_and_the_same_every_time() -> None:
    samples = list(np.random.default_rng(3).normal(10.0, 1.0, 15))
    low, high = interval(samples)
    assert min(samples) <= low < np.median(samples) < high <= max(samples)
    assert (low, high) == interval(samples)


def test_the_interval_of_equal_samples_is_a_point() -> None:
    assert interval([2.0] * 3) == (2.0, 2.0)


def test_figures_of_a_runtime() -> None:
    ours, theirs = [0.002, 0.001, 0.003], [0.004] * 3
    other = timed("other", "1.2", theirs, 1e-6, ours)
    assert (other.median_ms, other.interval_ms, other.ratio) == (4.0, (4.0, 4.0), 0.5)
    mine = timed("chameleon", "0.1", ours, None, ours)
    assert (mine.median_ms, mine.error, mine.ratio) == (2.0, None, None)


@pytest.mark.parametrize(
    ("error", "marked"),
    [(None, False), (1e-6, False), (1e-2, True), (math.nan, True), (math.inf, True)],
)
def test_who_computes_something_else(error: float | None, marked: bool) -> None:
    assert with_errors(error).runtimes[0].differs is marked


@pytest.mark.parametrize(
    ("errors", "suspicious"),
    [
        ((None,), False),
        ((None, 1e-6), False),
        ((None, 0.5, 1e-6), False),
        ((None, 0.5, math.nan), True),
    ],
)
def test_a_folder_of_another_model(errors: tuple[float | None, ...], suspicious: bool) -> None:
    assert with_errors(*errors).of_another_model is suspicious


def test_json_is_strict() -> None:
    written = json.loads(json.dumps(strict_json(with_errors(None, math.nan)), allow_nan=False))
    assert list(written) == [
        "model",
        "machine",
        "threads",
        "runtimes",
        "missing",
        "failed",
        "rounds",
        "round_secs",
        "busy",
    ]
    assert written["runtimes"][1]["error"] is None
    assert written["runtimes"][0]["interval_ms"] == [1.0, 1.0]
