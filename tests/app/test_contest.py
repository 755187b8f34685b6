"""Whole models side by side, with real processes, some of which fail."""

from __future__ import annotations

import math

import pytest
from odd_models import odd

from chameleon_tuner.app.contest import MOST_ROUNDS, ROUNDS, compared
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.handler import ONNXRUNTIME, TUNED, UNTUNED, HasModels

Pool = WorkerPool[HasModels]

Y = [1.0, -4.0]


def test_all_are_timed_in_turns_and_their_outputs_are_compared(odd_pool: Pool) -> None:
    found = compared(
        {
            TUNED: odd(TUNED, Y, secs=0.001, shares={"part": 0.25}),
            ONNXRUNTIME: odd(ONNXRUNTIME, [1.0, -4.4], secs=[0.002, 0.003, 0.004]),
        },
        odd_pool,
    )
    assert found.samples == {
        TUNED: [0.001] * ROUNDS,
        ONNXRUNTIME: [0.002, 0.003] + [0.004] * (ROUNDS - 2),
    }
    assert found.latency_secs == {TUNED: 0.001, ONNXRUNTIME: 0.004}
    assert found.errors == {ONNXRUNTIME: pytest.approx(0.4 / 4.4)}
    assert found.shares == {"part": 0.25}
    assert found.failed == {}


def test_every_contestant_has_a_new_process(odd_pool: Pool) -> None:
    odd_pool.replenish()
    before, size = list(odd_pool.workers), odd_pool.size
    contestants = {name: odd(name, tells_process=True) for name in (TUNED, ONNXRUNTIME, UNTUNED)}
    errors = compared(contestants, odd_pool).errors
    assert all(error == 1.0 for error in errors.values())  # other numbers of processes
    odd_pool.replenish()  # a search may follow
    assert len(odd_pool.workers) == size
    assert not set(before) & set(odd_pool.workers)


def test_a_close_comparison_has_more_rounds(odd_pool: Pool) -> None:
    found = compared(
        {TUNED: odd(TUNED, Y, secs=0.001), ONNXRUNTIME: odd(ONNXRUNTIME, Y, secs=0.00102)}, odd_pool
    )
    assert [len(secs) for secs in found.samples.values()] == [MOST_ROUNDS] * 2


@pytest.mark.parametrize("stage", ["open", "outputs", "time"])
@pytest.mark.parametrize(
    ("fault", "said"), [("dies", "first words last words"), ("raises", "no {} today")]
)
def test_a_rival_that_fails_takes_no_part(
    stage: str, fault: str, said: str, odd_pool: Pool
) -> None:
    rivals = {
        ONNXRUNTIME: odd(ONNXRUNTIME, Y, **{fault: stage}),
        UNTUNED: odd(UNTUNED, Y, secs=0.005),
    }
    found = compared({TUNED: odd(TUNED, Y), **rivals}, odd_pool)
    assert set(found.samples) == {TUNED, UNTUNED}
    assert found.errors == {UNTUNED: 0.0}
    assert set(found.failed) == {ONNXRUNTIME}
    assert said.format(stage) in found.failed[ONNXRUNTIME]
    assert "\n" not in found.failed[ONNXRUNTIME]


@pytest.mark.parametrize("stage", ["open", "outputs", "time"])
@pytest.mark.parametrize("fault", ["dies", "raises"])
def test_where_the_tuned_model_fails_the_others_are_timed(
    stage: str, fault: str, odd_pool: Pool
) -> None:
    rivals = {
        ONNXRUNTIME: odd(ONNXRUNTIME, Y, secs=0.002),
        UNTUNED: odd(UNTUNED, Y, secs=0.5),
    }
    found = compared({TUNED: odd(TUNED, Y, **{fault: stage}), **rivals}, odd_pool)
    assert found.latency_secs == {ONNXRUNTIME: 0.002, UNTUNED: 0.5}
    assert (found.errors, found.shares) == ({}, {})
    assert set(found.failed) == {TUNED}


def test_where_nobody_runs_nothing_is_claimed(odd_pool: Pool) -> None:
    names = (TUNED, ONNXRUNTIME)
    found = compared({name: odd(name, Y, raises="open") for name in names}, odd_pool)
    assert (found.samples, found.errors) == ({}, {})
    assert set(found.failed) == set(names)


def test_shares_that_cannot_be_measured_are_unknown(odd_pool: Pool) -> None:
    rivals = {ONNXRUNTIME: odd(ONNXRUNTIME, Y, secs=0.1)}
    found = compared({TUNED: odd(TUNED, Y, dies="shares"), **rivals}, odd_pool)
    assert found.shares == {}
    assert set(found.samples) == {TUNED, ONNXRUNTIME}
    assert found.errors == {ONNXRUNTIME: 0.0}


def test_who_is_hopeless_is_timed_once(odd_pool: Pool) -> None:
    contestants = {
        TUNED: odd(TUNED, Y, secs=0.001),
        UNTUNED: odd(UNTUNED, Y, first_secs=1.1, secs=math.nan),
        ONNXRUNTIME: odd(ONNXRUNTIME, Y, secs=0.011),
    }
    samples = compared(contestants, odd_pool).samples
    assert len(samples[TUNED]) == ROUNDS
    assert samples[ONNXRUNTIME] == [0.011]
    [secs] = samples[UNTUNED]
    assert secs >= 1.1  # its first call, and it is not called again


def test_other_shapes_are_infinitely_far_apart(odd_pool: Pool) -> None:
    rivals = {ONNXRUNTIME: odd(ONNXRUNTIME, [Y], secs=0.002)}
    assert compared({TUNED: odd(TUNED, Y), **rivals}, odd_pool).errors == {ONNXRUNTIME: math.inf}
