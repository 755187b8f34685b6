"""Candidates that fail in every way, in real workers with real kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.judge import LocalJudge
from chameleon_tuner.measure.local.limits import Timeouts
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.ports.handler import Failed, Handler
from chameleon_tuner.ports.judge import Final, Finalist
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import thread_environment
from chameleon_tuner.testing.faulty_worker import HANDLER, Fault, Rule, environment

TIMEOUTS = Timeouts(replay=30.0, compile=4.0, run=4.0, judge=120.0)
LIMITS = WorkerLimits(memory_bytes=1200 * 2**20)

FAULTS = [
    (Fault.SEGFAULT, "run", Status.CRASHED, "SIGSEGV during run"),
    (Fault.SEGFAULT, "compile", Status.CRASHED, "SIGSEGV during compile"),
    (Fault.EXIT, "replay", Status.CRASHED, "exit 3 during replay"),
    (Fault.KILLED, "compile", Status.OUT_OF_MEMORY, "SIGKILL during compile"),
    (Fault.HANG, "compile", Status.TIMEOUT, "compile took longer than its limit of 4 s"),
    (Fault.HANG, "run", Status.TIMEOUT, "run took longer than its limit of 4 s"),
    (Fault.RAISE, "compile", Status.BUILD_ERROR, "RuntimeError: injected fault"),
    (Fault.RAISE, "run", Status.RUN_ERROR, "RuntimeError: injected fault"),
    (Fault.SYSTEM_EXIT, "run", Status.RUN_ERROR, "SystemExit: 3"),
    (Fault.ARRAYS, "run", Status.OUT_OF_MEMORY, "MemoryError"),
    (Fault.NATIVE_MEMORY, "compile", Status.OUT_OF_MEMORY, "bad_alloc"),
    (Fault.NATIVE_MEMORY, "run", Status.OUT_OF_MEMORY, "SIGABRT during run"),
]


def final(task: Task, *configurations: Configuration) -> Final:
    return Final(task, [Finalist(task, configuration) for configuration in configurations])


@pytest.fixture(scope="module")
def batch(dense_task: Task) -> list[Configuration]:
    """Distinct configurations: one for each fault, and as many good ones in between."""
    rows = dense_task.space.sample(100, np.random.default_rng(0))
    rows = dense_task.space.unique(rows)[: 2 * len(FAULTS)]
    return dense_task.space.configurations(rows)


@pytest.fixture(scope="module")
def faulty_pool(batch: list[Configuration]) -> Iterator[WorkerPool[Handler]]:
    rules = [Rule(f, stage, c) for (f, stage, _, _), c in zip(FAULTS, batch[::2], strict=True)]
    rules.append(Rule(Fault.WRONG_OUTPUT, "judge", batch[1]))
    rules.append(Rule(Fault.RAISE, "judge", batch[3]))
    rules.append(Rule(Fault.SEGFAULT, "judge", batch[5]))
    variables = {**thread_environment(1), **environment(*rules)}
    with WorkerPool(HANDLER, 2, variables, LIMITS) as pool:
        yield pool


def test_rules_choose_the_same_configurations_in_every_process() -> None:
    rule, candidates = (
        Rule(Fault.HANG, "run", one_in=3),
        [Configuration(0, (n,)) for n in range(12)],
    )
    assert [n for n, c in enumerate(candidates) if rule.applies("run", c)] == [0, 1, 7, 8]
    assert not any(rule.applies("compile", c) for c in candidates)
    assert all(Rule(Fault.HANG, "run").applies("run", c) for c in candidates)


def test_a_fault_costs_its_candidate_alone(
    faulty_pool: WorkerPool[Handler],
    batch: list[Configuration],
    dense_task: Task,
    lock: MachineLock,
) -> None:
    measurer = LocalMeasurer(faulty_pool, timeouts=TIMEOUTS, lock=lock)
    [outcomes] = measurer.measure([Batch(dense_task, batch, math.inf)])
    assert [o.proposed for o in outcomes] == batch
    for outcome, (fault, stage, status, message) in zip(outcomes[::2], FAULTS, strict=True):
        assert (outcome.status, message in outcome.message) == (status, True), (fault, outcome)
        assert outcome.seconds == math.inf
        assert bool(outcome.structural_hash) == (stage != "replay")
    for outcome in outcomes[1::2]:
        assert outcome.status is Status.OK, outcome
        assert outcome.seconds < 0.1
        assert outcome.build_secs > 0
        assert outcome.run_secs > 0
        assert outcome.message == ""


def test_the_pool_goes_on(
    faulty_pool: WorkerPool[Handler],
    batch: list[Configuration],
    dense_task: Task,
    lock: MachineLock,
) -> None:
    measurer = LocalMeasurer(faulty_pool, timeouts=TIMEOUTS, lock=lock)
    for _ in range(3):
        crashing, good = batch[0], batch[1]
        [[first, second]] = measurer.measure([Batch(dense_task, [crashing, good], math.inf)])
        assert first.status is Status.CRASHED
        assert second.status is Status.OK


def test_judging_finds_wrong_outputs_and_failures(
    faulty_pool: WorkerPool[Handler],
    batch: list[Configuration],
    dense_task: Task,
    lock: MachineLock,
) -> None:
    judge = LocalJudge(faulty_pool, timeouts=TIMEOUTS, lock=lock, rounds=2, round_secs=0.002)
    wrong, raising, right = batch[1], batch[3], batch[7]
    [judged] = judge.judge([final(dense_task, wrong, raising, right)], -1.0)
    assert [len(kernel.samples) for kernel in judged] == [2, 2, 2, 2]
    assert judged[0].error == 0.0
    assert judged[1].error == pytest.approx(0.1)
    assert math.isnan(judged[2].error)
    assert judged[2].message == "RuntimeError: injected fault"
    assert judged[3].error < 1e-5


def test_a_crash_while_judging_is_a_failure_with_a_cause(
    faulty_pool: WorkerPool[Handler],
    batch: list[Configuration],
    dense_task: Task,
    lock: MachineLock,
) -> None:
    judge = LocalJudge(faulty_pool, timeouts=TIMEOUTS, lock=lock, rounds=2, round_secs=0.002)
    finals = [final(dense_task, batch[n]) for n in (7, 5, 9)]
    right, failed, too = judge.judge(finals, -1.0)
    assert isinstance(failed, Failed)
    assert failed.fatal
    assert "SIGSEGV during judge" in str(failed)
    assert max(right[1].error, too[1].error) < 1e-5
    [again] = judge.judge([final(dense_task, batch[7])], -1.0)
    assert again[1].error < 1e-5


def test_recycled_workers_give_the_same_results(
    batch: list[Configuration], dense_task: Task, lock: MachineLock
) -> None:
    good, pids = batch[1:8:2], set()
    hashes = []
    limits = WorkerLimits(memory_bytes=6 * 2**30, recycle_bytes=1)
    with WorkerPool(HANDLER, 2, thread_environment(1), limits) as pool:
        measurer = LocalMeasurer(pool, timeouts=TIMEOUTS, lock=lock)
        for _ in range(2):
            [outcomes] = measurer.measure([Batch(dense_task, good, math.inf)])
            assert {outcome.status for outcome in outcomes} == {Status.OK}
            hashes.append([outcome.structural_hash for outcome in outcomes])
            pids.update(worker.pid for worker in pool.workers)
        judge = LocalJudge(pool, timeouts=TIMEOUTS, lock=lock, rounds=1, round_secs=0.002)
        [judged] = judge.judge([final(dense_task, good[0])], -1.0)
        pids.update(worker.pid for worker in pool.workers)
    assert judged[1].error < 1e-5
    assert hashes[0] == hashes[1]
    assert len(pids) == 6
