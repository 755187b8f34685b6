"""The pool's bookkeeping, with workers that need no TVM."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_handler import (
    TOY,
    Die,
    Echo,
    Fail,
    Grow,
    Hang,
    NoSuch,
    Pid,
    Remember,
    Say,
    Sleep,
    Tell,
    Toy,
    Unpicklable,
    Variable,
)

from chameleon_tuner.core.errors import ChameleonError, MeasurementError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.pool import Script, WorkerPool, ask
from chameleon_tuner.measure.local.worker import Call, Worker, WorkerLimits
from chameleon_tuner.ports.handler import Failed, Request

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent), "TOY": "yes"}
MIB = 2**20
SECS = 20.0
AMPLE = WorkerLimits(memory_bytes=6 * 2**30)

ToyScript = Callable[[Worker[Toy]], Script[Toy, list[Any]]]


def toy_pool(size: int = 2, limits: WorkerLimits | None = None) -> WorkerPool[Toy]:
    return WorkerPool(TOY, size, ENVIRONMENT, limits)


@pytest.fixture
def pool() -> Iterator[WorkerPool[Toy]]:
    with toy_pool() as pool:
        pool.replenish()
        yield pool


def within(request: Request[Toy, Any], timeout_secs: float = SECS) -> Call[Toy]:
    return Call(request, timeout_secs)


def script(*requests: Request[Toy, Any] | Call[Toy]) -> ToyScript:
    """Answers, failures included, of requests; ends with the first fatal one."""
    calls = [one if isinstance(one, Call) else within(one) for one in requests]

    def run(worker: Worker[Toy]) -> Script[Toy, list[Any]]:
        answers: list[Any] = []
        for call in calls:
            try:
                answers.append((yield from ask(call.request, call.timeout_secs)))
            except Failed as failure:
                answers.append(failure.status)
                if failure.fatal:
                    break
        return answers

    return run


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], secs: float = 5.0) -> bool:
    end = time.monotonic() + secs
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# -- one worker


def test_answers_and_the_environment_of_a_worker(pool: WorkerPool[Toy]) -> None:
    worker = pool.workers[0]
    assert pool.call(worker, Echo({"a": (1, 2.5)}), SECS) == {"a": (1, 2.5)}
    assert pool.call(worker, Variable("TOY"), SECS) == "yes"
    assert pool.call(worker, Pid(), SECS) == worker.pid


@pytest.mark.parametrize(
    ("asked", "status", "message", "fatal"),
    [
        (within(Fail("so")), Status.BUILD_ERROR, "ValueError: so", False),
        (within(Fail("CUDA: out of memory")), Status.OUT_OF_MEMORY, "out of memory", False),
        (within(NoSuch()), Status.BUILD_ERROR, "nosuch", False),
        (within(Tell(Status.CRASHED)), Status.CRASHED, "as the handler says", False),
        (within(Tell(Status.WRONG_OUTPUT)), Status.WRONG_OUTPUT, "as the handler says", False),
        (within(Die(0)), Status.CRASHED, "exit 0 during die", True),
        (within(Die(7, "aha")), Status.CRASHED, "exit 7 during die: aha", True),
        (within(Die(1, "std::bad_alloc")), Status.OUT_OF_MEMORY, "std::bad_alloc", True),
        (within(Hang(), 0.3), Status.TIMEOUT, "its limit of 0.3 s", True),
        (within(Unpicklable()), Status.CRASHED, "exit 1 during unpicklable: ", True),
    ],
    ids=lambda value: value.request.stage if isinstance(value, Call) else None,
)
def test_failures_have_a_cause(
    pool: WorkerPool[Toy], asked: Call[Toy], status: Status, message: str, fatal: bool
) -> None:
    worker = pool.workers[0]
    with pytest.raises(Failed) as caught:
        pool.call(worker, asked.request, asked.timeout_secs)
    assert (caught.value.status, caught.value.fatal) == (status, fatal)
    assert message in str(caught.value)
    assert worker.closed == fatal
    assert wait_until(lambda: alive(worker.pid) != fatal)


def test_last_words_are_those_since_the_last_answer(pool: WorkerPool[Toy]) -> None:
    worker = pool.workers[0]
    pool.call(worker, Say("an allocation failed: out of memory"), SECS)
    with pytest.raises(Failed) as caught:
        pool.call(worker, Die(1, "now this"), SECS)
    assert str(caught.value) == "exit 1 during die: now this"
    assert caught.value.status is Status.CRASHED


def test_much_output_is_cut(pool: WorkerPool[Toy]) -> None:
    with pytest.raises(Failed) as caught:
        pool.call(pool.workers[0], Die(1, "x" * 5000 + "end"), SECS)
    assert str(caught.value).endswith("xend")
    assert len(str(caught.value)) < 500


def test_a_handler_that_cannot_be_made_is_a_crash_with_its_traceback() -> None:
    with WorkerPool(replace(TOY, attribute="unborn"), 1, ENVIRONMENT) as pool:
        pool.replenish()
        with pytest.raises(Failed, match=r"(?s)^exit 1 .*handler cannot be made") as caught:
            pool.call(pool.workers[0], Pid(), SECS)
    assert caught.value.status is Status.CRASHED


# -- scripts


def test_results_come_in_order(pool: WorkerPool[Toy]) -> None:
    naps = [0.2, 0.0, 0.1, 0.0, 0.05]
    scripts = [script(Sleep(nap), Echo(n)) for n, nap in enumerate(naps)]
    assert pool.drive(scripts) == [[None, n] for n in range(len(naps))]


def test_no_scripts_and_scripts_without_requests(pool: WorkerPool[Toy]) -> None:
    assert pool.drive([]) == []
    assert pool.drive([script(), script(Echo(1)), script()]) == [[], [1], []]


def test_scripts_run_side_by_side(pool: WorkerPool[Toy]) -> None:
    begin = time.perf_counter()
    pool.drive([script(Sleep(0.5))] * 2)
    assert time.perf_counter() - begin < 0.9


def test_scripts_are_made_while_workers_are_busy(pool: WorkerPool[Toy]) -> None:
    """One for each of them, before they end; the others not yet."""
    begun, ended, made = [], [], []

    def noted(number: int, worker: Worker[Toy]) -> Script[Toy, None]:
        begun.append(number)
        yield within(Sleep(0.3))
        ended.append(number)

    def making() -> Iterator[Callable[[Worker[Toy]], Script[Toy, None]]]:
        for number in range(6):
            made.append((len(begun), len(ended)))
            yield partial(noted, number)

    pool.drive(making())
    assert made[:4] == [(0, 0), (1, 0), (2, 0), (2, 0)]
    assert all(ended > 0 for _, ended in made[4:])


CALLS = st.sampled_from([within(Echo(1)), within(Fail("x")), within(Die(1)), within(Hang(), 0.1)])


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(CALLS, max_size=3), max_size=6))
def test_every_script_ends_whatever_its_worker_does(
    pool: WorkerPool[Toy], scripts: list[list[Call[Toy]]]
) -> None:
    results = pool.drive([script(*calls) for calls in scripts])
    expected = {"echo": 1, "fail": Status.BUILD_ERROR}
    fatal = {"die": Status.CRASHED, "hang": Status.TIMEOUT}
    for calls, answers in zip(scripts, results, strict=True):
        stages = [call.request.stage for call in calls]
        last = next((n for n, stage in enumerate(stages) if stage in fatal), len(stages))
        assert answers == [{**expected, **fatal}[stage] for stage in stages[: last + 1]]


def test_a_script_stays_on_its_worker(pool: WorkerPool[Toy]) -> None:
    scripts = [script(Remember(n), Sleep(0.02), Remember(None)) for n in "abc"]
    assert [answers[-1] for answers in pool.drive(scripts)] == ["a", "b", "c"]


def test_each_script_has_the_worker_that_it_was_given(pool: WorkerPool[Toy]) -> None:
    pool.replenish()
    first, second = pool.workers
    scripts = [(second, script(Remember(2))(second)), (first, script(Pid())(first))]
    assert pool.drive_each(scripts) == [[None], [first.pid]]
    again = [(second, script(Die(7))(second)), (first, script(Remember(1))(first))]
    [died], [kept] = pool.drive_each(again)
    assert (died, kept) == (Status.CRASHED, None)
    assert pool.drive_each([]) == []


def test_an_exception_halfway_does_no_harm(pool: WorkerPool[Toy]) -> None:
    """As when Ctrl-C arrives: no later request gets an answer to an earlier one."""

    def interrupted(worker: Worker[Toy]) -> Script[Toy, None]:
        yield within(Echo(1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.drive([script(Sleep(0.3), Echo("stale")), interrupted])
    assert pool.drive([script(Echo(n)) for n in range(4)]) == [[0], [1], [2], [3]]
    assert len(pool.workers) == 2


# -- workers come and go


def test_an_idle_worker_that_is_killed_costs_nobody_anything(pool: WorkerPool[Toy]) -> None:
    victim = pool.workers[1]
    os.kill(victim.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(victim.pid))
    assert pool.drive([script(Echo(n)) for n in range(4)]) == [[0], [1], [2], [3]]
    assert victim not in pool.workers
    assert len(pool.workers) == 2


def test_workers_are_recycled_before_they_grow() -> None:
    with toy_pool(limits=replace(AMPLE, recycle_bytes=80 * MIB)) as pool:
        pids = set()
        for n in range(4):
            requests = Pid(), Echo(n), Grow(100 * MIB)
            for pid, answer, _ in pool.drive([script(*requests)] * 2):
                pids.add(pid)
                assert answer == n
        assert len(pids) == 8
        [[kept, _], [same, _]] = pool.drive([script(Pid(), Sleep(0.1))] * 2)
        [[kept_on, _], [same_on, _]] = pool.drive([script(Pid(), Sleep(0.1))] * 2)
        assert {kept, same} == {kept_on, same_on}


def test_a_pool_is_lent_with_workers_of_another_kind(pool: WorkerPool[Toy]) -> None:
    pool.replenish()
    before = {worker.pid for worker in pool.workers}
    with pool.lent(1, WorkerLimits(memory_bytes=300 * MIB)) as [worker]:
        assert worker.pid not in before
        assert pool.call(worker, Echo(1), 10.0) == 1
        with pytest.raises(Failed) as failure:
            pool.call(worker, Grow(500 * MIB), SECS)
    assert failure.value.status is Status.OUT_OF_MEMORY
    assert pool.drive([script(Grow(500 * MIB))]) == [[None]]
    after = {worker.pid for worker in pool.workers}
    assert len(after) == len(before)
    assert not after & {worker.pid, *before}


def test_the_memory_limit_holds() -> None:
    with toy_pool(1, WorkerLimits(memory_bytes=300 * MIB)) as pool:
        [answers] = pool.drive([script(Grow(500 * MIB), Grow(50 * MIB))])
    assert answers == [Status.OUT_OF_MEMORY, None]


def test_a_pool_may_be_made_in_a_thread_that_ends() -> None:
    pools: list[WorkerPool[Toy]] = []

    def make() -> None:
        pools.append(toy_pool())
        pools[0].replenish()

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    time.sleep(0.3)
    with pools[0] as pool:
        assert pool.drive([script(Echo(n)) for n in range(4)]) == [[0], [1], [2], [3]]


def test_close_ends_busy_workers() -> None:
    pool = toy_pool()
    pool.replenish()
    workers = list(pool.workers)
    for worker in workers:
        worker.send(within(Hang()))
    pool.close()
    assert not any(alive(worker.pid) for worker in workers)
    assert not alive(pool.nursery_pid)
    pool.close()


def test_a_dead_nursery_is_a_clear_error(pool: WorkerPool[Toy]) -> None:
    os.kill(pool.nursery_pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match=r"has died \(SIGKILL\).*run again") as caught:
        pool.drive([script(Hang())] * 3)
    assert isinstance(caught.value, ChameleonError)
    with pytest.raises(MeasurementError, match="SIGKILL"):
        pool.replenish()


def test_a_handler_that_does_not_exist_is_a_clear_error() -> None:
    with (
        WorkerPool(replace(TOY, attribute="Missing"), 1, ENVIRONMENT) as pool,
        pytest.raises(MeasurementError, match=r"\(exit 1\).*messages above"),
    ):
        pool.replenish()


def test_an_answer_to_an_interrupted_question_is_skipped(pool: WorkerPool[Toy]) -> None:
    nursery = pool._nursery
    log = Path("/dev/null").open("wb")  # noqa: SIM115
    with log:
        answer, nursery._answer = nursery._answer, partial(_interrupt, nursery)  # type: ignore
        with pytest.raises(KeyboardInterrupt):
            nursery.spawn(log.fileno(), 2**30)
        nursery._answer = answer  # type: ignore[method-assign]
        pid, connection = nursery.spawn(log.fileno(), 2**30)
        with connection:
            connection.send(Pid())
            assert connection.recv() == ("done", pid)
    assert nursery.reap(pid) in (0, -signal.SIGKILL)


def _interrupt(nursery: object) -> int:
    raise KeyboardInterrupt
