from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chameleon_tuner.ports.measurer import TimingPolicy, time_candidate

POLICY = TimingPolicy()


class Kernel:
    """Runs in no time but says how long it took; time passes on the patched clock only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Iterable[float]) -> None:
        self.now, self.calls = 0.0, list[int]()
        self._seconds = iter(seconds)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self, number: int) -> float:
        self.calls.append(number)
        secs = next(self._seconds)
        self.now += number * secs
        return secs


def steady(secs: float) -> Iterable[float]:
    return itertools.repeat(secs)


def test_a_slow_candidate_runs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, [0.006, 0.005])
    timing = time_candidate(kernel, 0.003, POLICY)
    assert kernel.calls == [1, 1]
    assert timing.samples == (0.005,)
    assert not timing.censored
    assert timing.spent_secs == pytest.approx(0.011)


def test_a_hopeless_candidate_runs_once_and_is_censored(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, [0.1])
    timing = time_candidate(kernel, 0.003, POLICY)
    assert kernel.calls == [1]
    assert timing.samples == (0.1,)
    assert timing.censored


def test_a_short_cold_run_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, itertools.chain([0.0002], steady(0.00001)))
    timing = time_candidate(kernel, 0.00001, POLICY)
    assert not timing.censored
    assert timing.samples == (0.00001,) * POLICY.min_samples


def test_the_first_candidate_is_never_censored(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = time_candidate(Kernel(monkeypatch, steady(3.0)), math.inf, POLICY)
    assert timing.samples == (3.0,)
    assert not timing.censored


def test_a_steady_contender_takes_the_fewest_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, steady(0.001))
    timing = time_candidate(kernel, 0.001, POLICY)
    assert timing.samples == (0.001,) * POLICY.min_samples
    assert kernel.calls == [1, 1, *[2] * POLICY.min_samples]


def test_a_contender_repeats_until_its_interval_is_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = [1.0, 1.0, 1.06, 1.0, 1.06, 1.0, *[1.03] * 20]
    kernel = Kernel(monkeypatch, (0.001 * secs for secs in noisy))
    samples = time_candidate(kernel, 0.001, POLICY).samples
    assert POLICY.min_samples < len(samples) < POLICY.max_samples

    def error(samples: tuple[float, ...]) -> float:
        return statistics.stdev(samples) / math.sqrt(len(samples)) / statistics.median(samples)

    assert error(samples) < POLICY.relative_error
    assert error(samples[:-1]) >= POLICY.relative_error


def test_samples_of_a_fast_kernel_last_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, itertools.chain([1e-4], steady(1e-5)))
    time_candidate(kernel, math.inf, POLICY)
    assert kernel.calls[:2] == [1, 1]
    assert set(kernel.calls[2:]) == {200}


@settings(deadline=None)
@given(
    cold=st.floats(1e-6, 10.0),
    seconds=st.lists(st.floats(1e-6, 10.0), min_size=14, max_size=14),
    incumbent=st.floats(1e-6, 10.0) | st.just(math.inf),
)
def test_what_always_holds(cold: float, seconds: list[float], incumbent: float) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kernel = Kernel(monkeypatch, [cold, *seconds])
        timing = time_candidate(kernel, incumbent, POLICY)
    assert timing.spent_secs == pytest.approx(kernel.now)
    assert 1 <= len(timing.samples) <= POLICY.max_samples
    assert set(timing.samples) <= {cold, *seconds}
    if timing.censored:
        assert timing.samples == (cold,)
        assert cold > POLICY.hopeless_factor * incumbent
    elif len(timing.samples) > 1:  # until the last sample there was a reason to go on
        before = timing.samples[:-1]
        assert min(before) <= POLICY.slow_factor * incumbent
        assert kernel.calls[-1] * sum(before) <= POLICY.budget_secs
