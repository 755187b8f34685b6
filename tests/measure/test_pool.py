"""The pool's bookkeeping, with workers that need no TVM."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chameleon_tuner.errors import ChameleonError, MeasurementError
from chameleon_tuner.measure.outcome import Failed, Status
from chameleon_tuner.measure.pool import Limits, Request, Script, Worker, WorkerPool

ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent), "TOY": "yes"}
MIB = 2**20


def toy_pool(size: int = 2, limits: Limits | None = None) -> WorkerPool:
    return WorkerPool("toy_handler:Toy", size, ENVIRONMENT, limits)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with toy_pool() as pool:
        pool.replenish()
        yield pool


def ask(method: str, *arguments: Any, timeout_secs: float = 20.0) -> Request:
    return Request(method, arguments, timeout_secs)


def script(*requests: Request) -> Callable[[Worker], Script[list[Any]]]:
    """Answers, failures included, of requests; ends with the first fatal one."""

    def run(worker: Worker) -> Script[list[Any]]:
        answers: list[Any] = []
        for request in requests:
            try:
                answers.append((yield request))
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


def test_answers_and_the_environment_of_a_worker(pool: WorkerPool) -> None:
    worker = pool.workers[0]
    assert pool.call(worker, ask("echo", {"a": (1, 2.5)})) == {"a": (1, 2.5)}
    assert pool.call(worker, ask("variable", "TOY")) == "yes"
    assert pool.call(worker, ask("pid")) == worker.pid


@pytest.mark.parametrize(
    ("request_", "status", "message", "fatal"),
    [
        (ask("fail", "so"), Status.BUILD_ERROR, "ValueError: so", False),
        (ask("fail", "CUDA: out of memory"), Status.OUT_OF_MEMORY, "out of memory", False),
        (ask("nosuch"), Status.BUILD_ERROR, "nosuch", False),
        (ask("die", 0), Status.CRASHED, "exit 0 during die", True),
        (ask("die", 7, "aha"), Status.CRASHED, "exit 7 during die: aha", True),
        (ask("die", 1, "std::bad_alloc"), Status.OUT_OF_MEMORY, "std::bad_alloc", True),
        (ask("hang", timeout_secs=0.3), Status.TIMEOUT, "its limit of 0.3 s", True),
        (ask("unpicklable"), Status.CRASHED, "exit 1 during unpicklable: ", True),
    ],
    ids=lambda value: value.method if isinstance(value, Request) else None,
)
def test_failures_have_a_cause(
    pool: WorkerPool, request_: Request, status: Status, message: str, fatal: bool
) -> None:
    worker = pool.workers[0]
    with pytest.raises(Failed) as caught:
        pool.call(worker, request_)
    assert (caught.value.status, caught.value.fatal) == (status, fatal)
    assert message in str(caught.value)
    assert worker.closed == fatal
    assert wait_until(lambda: alive(worker.pid) != fatal)


def test_last_words_are_those_since_the_last_answer(pool: WorkerPool) -> None:
    worker = pool.workers[0]
    pool.call(worker, ask("say", "an allocation failed: out of memory"))
    with pytest.raises(Failed) as caught:
        pool.call(worker, ask("die", 1, "now this"))
    assert str(caught.value) == "exit 1 during die: now this"
    assert caught.value.status is Status.CRASHED


def test_much_output_is_cut(pool: WorkerPool) -> None:
    with pytest.raises(Failed) as caught:
        pool.call(pool.workers[0], ask("die", 1, "x" * 5000 + "end"))
    assert str(caught.value).endswith("xend")
    assert len(str(caught.value)) < 500


def test_a_handler_that_cannot_be_made_is_a_crash_with_its_traceback() -> None:
    with WorkerPool("toy_handler:unborn", 1, ENVIRONMENT) as pool:
        pool.replenish()
        with pytest.raises(Failed, match=r"(?s)^exit 1 .*handler cannot be made") as caught:
            pool.call(pool.workers[0], ask("pid"))
    assert caught.value.status is Status.CRASHED


# -- scripts


def test_results_come_in_order(pool: WorkerPool) -> None:
    naps = [0.2, 0.0, 0.1, 0.0, 0.05]
    scripts = [script(ask("sleep", nap), ask("echo", n)) for n, nap in enumerate(naps)]
    assert pool.drive(scripts) == [[None, n] for n in range(len(naps))]


def test_no_scripts_and_scripts_without_requests(pool: WorkerPool) -> None:
    assert pool.drive([]) == []
    assert pool.drive([script(), script(ask("echo", 1)), script()]) == [[], [1], []]


def test_scripts_run_side_by_side(pool: WorkerPool) -> None:
    begin = time.perf_counter()
    pool.drive([script(ask("sleep", 0.5))] * 2)
    assert time.perf_counter() - begin < 0.9


def test_scripts_are_made_while_workers_are_busy(pool: WorkerPool) -> None:
    """One for each of them, before they end; the others not yet."""
    begun, ended, made = [], [], []

    def noted(number: int, worker: Worker) -> Script[None]:
        begun.append(number)
        yield ask("sleep", 0.3)
        ended.append(number)

    def making() -> Iterator[Callable[[Worker], Script[None]]]:
        for number in range(6):
            made.append((len(begun), len(ended)))
            yield partial(noted, number)

    pool.drive(making())
    assert made[:4] == [(0, 0), (1, 0), (2, 0), (2, 0)]
    assert all(ended > 0 for _, ended in made[4:])


REQUESTS = st.sampled_from(
    [ask("echo", 1), ask("fail", "x"), ask("die", 1), ask("hang", timeout_secs=0.1)]
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(REQUESTS, max_size=3), max_size=6))
def test_every_script_ends_whatever_its_worker_does(
    pool: WorkerPool, scripts: list[list[Request]]
) -> None:
    results = pool.drive([script(*requests) for requests in scripts])
    expected = {"echo": 1, "fail": Status.BUILD_ERROR}
    fatal = {"die": Status.CRASHED, "hang": Status.TIMEOUT}
    for requests, answers in zip(scripts, results, strict=True):
        methods = [request.method for request in requests]
        last = next((n for n, m in enumerate(methods) if m in fatal), len(methods))
        assert answers == [{**expected, **fatal}[m] for m in methods[: last + 1]]


def test_a_script_stays_on_its_worker(pool: WorkerPool) -> None:
    scripts = [script(ask("remember", n), ask("sleep", 0.02), ask("remember", None)) for n in "abc"]
    assert [answers[-1] for answers in pool.drive(scripts)] == ["a", "b", "c"]


def test_each_script_has_the_worker_that_it_was_given(pool: WorkerPool) -> None:
    pool.replenish()
    first, second = pool.workers
    scripts = [(second, script(ask("remember", 2))(second)), (first, script(ask("pid"))(first))]
    assert pool.drive_each(scripts) == [[None], [first.pid]]
    again = [(second, script(ask("die", 7))(second)), (first, script(ask("remember", 1))(first))]
    [died], [kept] = pool.drive_each(again)
    assert (died, kept) == (Status.CRASHED, None)
    assert pool.drive_each([]) == []


def test_an_exception_halfway_does_no_harm(pool: WorkerPool) -> None:
    """As when Ctrl-C arrives: no later request gets an answer to an earlier one."""

    def interrupted(worker: Worker) -> Script[None]:
        yield ask("echo", 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.drive([script(ask("sleep", 0.3), ask("echo", "stale")), interrupted])
    assert pool.drive([script(ask("echo", n)) for n in range(4)]) == [[0], [1], [2], [3]]
    assert len(pool.workers) == 2


# -- workers come and go


def test_an_idle_worker_that_is_killed_costs_nobody_anything(pool: WorkerPool) -> None:
    victim = pool.workers[1]
    os.kill(victim.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(victim.pid))
    assert pool.drive([script(ask("echo", n)) for n in range(4)]) == [[0], [1], [2], [3]]
    assert victim not in pool.workers
    assert len(pool.workers) == 2


def test_workers_are_recycled_before_they_grow() -> None:
    with toy_pool(limits=Limits(recycle_bytes=80 * MIB)) as pool:
        pids = set()
        for n in range(4):
            requests = ask("pid"), ask("echo", n), ask("grow", 100 * MIB)
            for pid, answer, _ in pool.drive([script(*requests)] * 2):
                pids.add(pid)
                assert answer == n
        assert len(pids) == 8
        [[kept, _], [same, _]] = pool.drive([script(ask("pid"), ask("sleep", 0.1))] * 2)
        [[kept_on, _], [same_on, _]] = pool.drive([script(ask("pid"), ask("sleep", 0.1))] * 2)
        assert {kept, same} == {kept_on, same_on}


def test_all_workers_are_renewed_on_demand(pool: WorkerPool) -> None:
    pool.replenish()
    before = {worker.pid for worker in pool.workers}
    pool.renew()
    assert len(pool.workers) == len(before)
    assert not before & {worker.pid for worker in pool.workers}
    assert pool.call(pool.workers[0], Request("echo", (1,), 10.0)) == 1


def test_the_memory_limit_holds() -> None:
    with toy_pool(1, Limits(memory_bytes=300 * MIB)) as pool:
        [answers] = pool.drive([script(ask("grow", 500 * MIB), ask("grow", 50 * MIB))])
    assert answers == [Status.OUT_OF_MEMORY, None]


def test_a_pool_may_be_made_in_a_thread_that_ends() -> None:
    pools: list[WorkerPool] = []

    def make() -> None:
        pools.append(toy_pool())
        pools[0].replenish()

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    time.sleep(0.3)
    with pools[0] as pool:
        assert pool.drive([script(ask("echo", n)) for n in range(4)]) == [[0], [1], [2], [3]]


def test_close_ends_busy_workers() -> None:
    pool = toy_pool()
    pool.replenish()
    workers = list(pool.workers)
    for worker in workers:
        worker.send(ask("hang"))
    pool.close()
    assert not any(alive(worker.pid) for worker in workers)
    assert not alive(pool.nursery_pid)
    pool.close()


def test_a_dead_nursery_is_a_clear_error(pool: WorkerPool) -> None:
    os.kill(pool.nursery_pid, signal.SIGKILL)
    with pytest.raises(MeasurementError, match=r"has died \(SIGKILL\).*run again") as caught:
        pool.drive([script(ask("hang"))] * 3)
    assert isinstance(caught.value, ChameleonError)
    with pytest.raises(MeasurementError, match="SIGKILL"):
        pool.replenish()


def test_a_handler_that_does_not_exist_is_a_clear_error() -> None:
    with (
        WorkerPool("toy_handler:Missing", 1, ENVIRONMENT) as pool,
        pytest.raises(MeasurementError, match=r"\(exit 1\).*messages above"),
    ):
        pool.replenish()


def test_an_answer_to_an_interrupted_question_is_skipped(pool: WorkerPool) -> None:
    nursery = pool._nursery
    log = Path("/dev/null").open("wb")  # noqa: SIM115
    with log:
        answer, nursery._answer = nursery._answer, partial(_interrupt, nursery)  # type: ignore
        with pytest.raises(KeyboardInterrupt):
            nursery.spawn(log.fileno(), 2**30)
        nursery._answer = answer  # type: ignore[method-assign]
        pid, connection = nursery.spawn(log.fileno(), 2**30)
        with connection:
            connection.send(("pid", ()))
            assert connection.recv() == ("done", pid)
    assert nursery.reap(pid) in (0, -signal.SIGKILL)


def _interrupt(nursery: object) -> int:
    raise KeyboardInterrupt
