"""The measurer's bookkeeping, with workers that need no TVM."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_handler import KERNELS, Kernels

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.measure.local.judge import LocalJudge
from chameleon_tuner.measure.local.limits import CompileLimit, Timeouts
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.measurer import LocalMeasurer, LocalNeutralTimer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import Call, Worker
from chameleon_tuner.ports.handler import Compile, Failed
from chameleon_tuner.ports.judge import Final, Finalist, Judged
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch

SPACE = DesignSpace((Sketch((Choice(tuple(range(100))),)),))
TASK = Task("toy", "toy", "module", {}, SPACE)


def configurations(*indices: int) -> list[Configuration]:
    return [Configuration(0, (index,)) for index in indices]


def measured(
    measurer: LocalMeasurer,
    configurations: Sequence[Configuration],
    incumbent_secs: float = math.inf,
    task: Task = TASK,
) -> list[Outcome]:
    [outcomes] = measurer.measure([Batch(task, configurations, incumbent_secs)])
    return outcomes


OTHER = replace(TASK, name="other", key="other")


def final(*indices: int, task: Task = TASK) -> Final:
    return Final(task, [Finalist(task, one) for one in configurations(*indices)])


def shown(judged: Judged) -> list[tuple[tuple[float, ...], float | None]]:
    """The samples and the error of every kernel of a final that came to a verdict."""
    assert not isinstance(judged, Failed)
    return [(kernel.samples, kernel.error) for kernel in judged]


UNTUNED = (0.1,), 0.0
"""What the toy says of the untuned kernel after a single round."""


class Log:
    """What the workers did, line by line."""

    def __init__(self, path: Path) -> None:
        self._path, self.lock_path = path, path.with_name("lock")
        self.lock_path.touch()
        self.clear()

    def clear(self) -> None:
        self._path.write_text("")

    def steps(self) -> list[str]:
        words = (line.partition(" ")[0] for line in self._path.read_text().splitlines())
        return [word for word in words if word in ("compile", "run")]

    def of(self, word: str) -> list[str]:
        lines = (line.partition(" ") for line in self._path.read_text().splitlines())
        return [rest for first, _, rest in lines if first == word]


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toy") / "log"


@pytest.fixture(scope="module")
def pool(log_path: Path) -> Iterator[WorkerPool[Kernels]]:
    environment = {"PYTHONPATH": str(Path(__file__).parent), "TOY_LOG": str(log_path)}
    environment["TOY_LOCK"] = str(log_path.with_name("lock"))
    with WorkerPool(KERNELS, 2, environment) as pool:
        yield pool


@pytest.fixture
def log(log_path: Path) -> Log:
    return Log(log_path)


@pytest.fixture
def measurer(pool: WorkerPool[Kernels], lock: MachineLock) -> LocalMeasurer:
    return LocalMeasurer(pool, lock=lock)


@pytest.fixture
def judge(pool: WorkerPool[Kernels], lock: MachineLock) -> LocalJudge:
    return LocalJudge(pool, lock=lock, rounds=1, round_secs=0.01)


@pytest.fixture
def timer(pool: WorkerPool[Kernels], lock: MachineLock) -> LocalNeutralTimer:
    return LocalNeutralTimer(pool, lock=lock)


def test_an_outcome_for_every_configuration_in_order(measurer: LocalMeasurer, log: Log) -> None:
    outcomes = measured(measurer, configurations(20, 10, 95, 60, 50, 12))
    assert [outcome.status.value for outcome in outcomes] == [
        *("ok", "ok", "rejected", "build_error", "censored", "ok")
    ]
    assert [o.proposed for o in outcomes] == configurations(20, 10, 95, 60, 50, 12)
    assert [o.samples for o in outcomes] == [(0.02,), (0.01,), (), (), (0.05,), (0.012,)]
    assert [o.message for o in outcomes if o.message] == [
        *("refused by the toy", "ValueError: does not compile")
    ]
    assert measured(measurer, []) == []


def test_a_refused_configuration_is_its_own_identity(measurer: LocalMeasurer, log: Log) -> None:
    [outcome] = measured(measurer, configurations(91))
    assert (outcome.structural_hash, outcome.configuration) == ("", outcome.proposed)
    assert log.of("compile") == []


def test_the_same_module_is_built_once(measurer: LocalMeasurer, log: Log) -> None:
    outcomes = measured(measurer, configurations(31, 30, 31, 10, 61, 60))
    assert Counter(log.of("compile")) == {"30": 1, "10": 1, "60": 1}
    assert len(log.of("run")) == 2
    assert [o.proposed for o in outcomes] == configurations(31, 30, 31, 10, 61, 60)
    assert [o.configuration for o in outcomes] == configurations(30, 30, 30, 10, 60, 60)
    assert {o.samples for o in outcomes[:3]} == {(0.03,)}
    assert sum(o.run_secs > 0 for o in outcomes[:3]) == 1
    assert {o.status for o in outcomes[4:]} == {Status.BUILD_ERROR}
    assert {o.message for o in outcomes[4:]} == {"ValueError: does not compile"}


def test_what_is_known_is_not_built(pool: WorkerPool[Kernels], lock: MachineLock, log: Log) -> None:
    before = Outcome(*configurations(2, 3), "hash30", Status.OK, (0.5,), "", 1.0, 1.0)
    failed = replace(before, structural_hash="hash40", status=Status.TIMEOUT, samples=())
    known = {"hash30": before, "hash40": failed}
    measurer = LocalMeasurer(pool, known=lambda task, hash_: known.get(hash_), lock=lock)
    outcomes = measured(measurer, configurations(31, 40, 10))
    assert log.of("compile") == ["10"]
    assert [o.status for o in outcomes] == [Status.OK, Status.TIMEOUT, Status.OK]
    assert (outcomes[0].proposed, outcomes[0].configuration) == tuple(configurations(31, 30))
    assert outcomes[0].samples == (0.5,)
    assert outcomes[0].build_secs == outcomes[0].run_secs == 0.0


def test_what_a_dying_worker_held_is_built_again(measurer: LocalMeasurer, log: Log) -> None:
    asked = configurations(80, *range(10, 40, 2), 70, 41, 40)
    outcomes = measured(measurer, asked)
    assert [o.proposed for o in outcomes] == asked
    statuses = Counter(outcome.status for outcome in outcomes)
    assert statuses == {Status.CRASHED: 2, Status.OK: len(asked) - 2}
    assert set(Counter(log.of("run")).values()) == {1}
    assert max(Counter(log.of("compile")).values()) <= 3


def test_runs_know_the_fastest_so_far(measurer: LocalMeasurer, log: Log) -> None:
    measured(measurer, configurations(30, 20, 50, 40, 60, 10, 12), 0.035)
    incumbents = [line.split()[1] for line in log.of("run")]
    assert incumbents == ["0.035", "0.03", "0.02", "0.02", "0.02", "0.01"]


def test_batches_are_built_together_and_each_has_its_own_outcomes(
    measurer: LocalMeasurer, log: Log
) -> None:
    """And its own incumbent."""
    mine, empty, others = measurer.measure(
        [
            Batch(TASK, configurations(30, 95, 20), math.inf),
            Batch(TASK, [], math.inf),
            Batch(OTHER, configurations(30, 80, 31, 10), 0.05),
        ]
    )
    assert [o.proposed for o in mine] == configurations(30, 95, 20)
    assert empty == []
    assert [o.proposed for o in others] == configurations(30, 80, 31, 10)
    assert [o.status for o in others] == [Status.OK, Status.CRASHED, Status.OK, Status.OK]
    incumbents = [line.split()[1] for line in log.of("run") if not line.startswith("80")]
    assert incumbents[:2] == ["inf", "0.03"]
    assert incumbents[2] == "0.05"


def test_all_batches_are_built_before_any_is_run(measurer: LocalMeasurer, log: Log) -> None:
    """What is one module by its hash, too, where it is of two tasks."""
    measurer.measure(
        [Batch(TASK, configurations(30), math.inf), Batch(OTHER, configurations(30), math.inf)]
    )
    assert log.steps() == ["compile", "compile", "run", "run"]


def test_a_batch_may_be_made_while_those_before_it_are_built(
    measurer: LocalMeasurer, log: Log
) -> None:
    first, built_before = range(10, 26, 2), []

    def making() -> Iterator[Batch]:
        yield Batch(TASK, configurations(*first), math.inf)
        built_before.append(len(log.of("compile")))
        yield Batch(OTHER, configurations(30), math.inf)

    mine, others = measurer.measure(making())
    assert built_before[0] >= len(first) - 3  # one waits, two are with the workers
    assert [o.proposed for o in [*mine, *others]] == configurations(*first, 30)
    assert log.steps()[:9] == ["compile"] * 9


def test_a_worker_learns_a_task_once(
    measurer: LocalMeasurer, pool: WorkerPool[Kernels], log: Log
) -> None:
    task = replace(TASK, key="another")
    for _ in range(3):
        measured(measurer, configurations(*range(10, 40, 2)), task=task)
    assert len(log.of("load")) <= len(pool.workers)


def test_a_task_that_cannot_be_loaded_fails_its_candidates(
    measurer: LocalMeasurer, judge: LocalJudge, timer: LocalNeutralTimer
) -> None:
    task = replace(TASK, key="broken", module="broken")
    outcomes = measured(measurer, configurations(10, 20), task=task)
    assert {outcome.status for outcome in outcomes} == {Status.BUILD_ERROR}
    assert {outcome.message for outcome in outcomes} == {"ValueError: no such module"}
    [failed] = judge.judge([final(10, task=task)], -1.0)
    assert isinstance(failed, Failed)
    assert "no such module" in str(failed)
    with pytest.raises(Failed, match="no such module"):
        timer.time(task, configurations(10), 1, 0.01)


def expected_status(index: int) -> Status:
    if index >= 90:
        return Status.REJECTED
    if index >= 70:
        return Status.CRASHED
    if index >= 60:
        return Status.BUILD_ERROR
    return Status.CENSORED if index in (50, 51) else Status.OK


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 99), max_size=12))
def test_any_batch_ends(measurer: LocalMeasurer, log: Log, indices: list[int]) -> None:
    log.clear()
    outcomes = measured(measurer, configurations(*indices))
    assert [o.proposed for o in outcomes] == configurations(*indices)
    assert [o.status for o in outcomes] == [expected_status(index) for index in indices]
    ran = {index - index % 2 for index in indices if index < 60 or 80 <= index < 90}
    assert sorted(line.split()[0] for line in log.of("run")) == sorted(map(str, ran))
    if not any(70 <= index < 90 for index in indices):
        assert max(Counter(log.of("compile")).values(), default=1) == 1


def test_builds_share_the_machine_and_runs_have_it_alone(
    pool: WorkerPool[Kernels], log: Log
) -> None:
    clock = Stopwatch()
    measurer = LocalMeasurer(pool, lock=MachineLock(log.lock_path), clock=clock)
    measured(measurer, configurations(10, 80, 12, 14))
    assert set(log.of("lock")) == {"compile shared", "run exclusive"}
    seconds = clock.seconds()
    assert seconds["build"] > 0
    assert seconds["run"] > 0


# -- timing side by side


def test_candidates_are_timed_together_with_the_machine_alone(
    pool: WorkerPool[Kernels], log: Log
) -> None:
    timer = LocalNeutralTimer(pool, lock=MachineLock(log.lock_path))
    timed = timer.time(TASK, configurations(30, 10, 20), rounds=2, round_secs=0.01)
    assert [timing.samples for timing in timed] == [(0.03, 0.03), (0.01, 0.01), (0.02, 0.02)]
    assert log.of("time") == ["30 10 20"]
    assert log.of("lock") == ["time exclusive"]


def test_a_crash_while_timing_is_a_failure_with_a_cause(timer: LocalNeutralTimer, log: Log) -> None:
    with pytest.raises(Failed, match="exit 8 during time") as caught:
        timer.time(TASK, configurations(10, 80), rounds=2, round_secs=0.01)
    assert caught.value.fatal
    [timing] = timer.time(TASK, configurations(10), rounds=1, round_secs=0.01)
    assert timing.samples == (0.01,)


@pytest.mark.parametrize(("count", "limit"), [(1, "0.6"), (3, "1.2")])
def test_more_candidates_may_take_longer(
    pool: WorkerPool[Kernels], lock: MachineLock, log: Log, count: int, limit: str
) -> None:
    timeouts = Timeouts(replay=0.1, compile=0.1, judge=0.3)
    timer = LocalNeutralTimer(pool, timeouts=timeouts, lock=lock)
    with pytest.raises(Failed, match=f"time took longer than its limit of {limit} s") as caught:
        timer.time(TASK, configurations(*[70] * count), rounds=2, round_secs=0.05)
    assert caught.value.status is Status.TIMEOUT


# -- finals


def test_finals_are_built_and_judged_side_by_side_and_timed_alone(
    pool: WorkerPool[Kernels], log: Log
) -> None:
    lock = MachineLock(log.lock_path)
    judge = LocalJudge(pool, apart_bytes=7, lock=lock, rounds=2, round_secs=0.01)
    finals = [final(30, 10), final(), final(20)]
    assert list(map(shown, judge.judge(finals, 0.5))) == [
        [((0.1, 0.1), 0.0), ((0.03, 0.03), None), ((0.01, 0.01), 0.0)],
        [((0.1, 0.1), 0.0)],
        [((0.1, 0.1), 0.0), ((0.02, 0.02), 0.0)],
    ]
    assert log.of("contend") == ["2 0.01 7"] * 3
    assert log.of("judge") == ["0.5"] * 3
    locks = ["ready shared"] * 2 + ["contend exclusive"] * 2 + ["judge shared"] * 2
    assert log.of("lock") == [*locks, *locks[::2]]


@pytest.mark.parametrize(
    ("index", "message"),
    [(70, "exit 7 during ready"), (80, "exit 8 during contend"), (60, "ValueError: no verdict")],
)
def test_a_final_that_fails_takes_no_other_along(
    judge: LocalJudge, log: Log, index: int, message: str
) -> None:
    finals = [final(10), final(index), final(20), final(30)]
    first, failed, *others = judge.judge(finals, -1.0)
    assert isinstance(failed, Failed)
    assert message in str(failed)
    assert [shown(one) for one in (first, *others)] == [
        [UNTUNED, ((0.01,), 0.0)],
        [UNTUNED, ((0.02,), 0.0)],
        [UNTUNED, ((0.03,), 0.0)],
    ]
    assert set(log.of("judge")) == {"-1.0"}


def test_no_finals(judge: LocalJudge) -> None:
    assert list(judge.judge([], -1.0)) == []


def test_a_compile_may_take_so_many_times_what_is_usual(
    pool: WorkerPool[Kernels], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, send = [], Worker.send

    def noted(worker: Worker[Kernels], call: Call[Kernels]) -> None:
        if isinstance(call.request, Compile):
            limits.append(call.timeout_secs)
        send(worker, call)

    monkeypatch.setattr(Worker, "send", noted)
    measurer = LocalMeasurer(pool, timeouts=Timeouts(compile=9.0), lock=MachineLock(log.lock_path))
    measured(measurer, configurations(*range(0, 12, 2)))
    assert limits == [9.0] * 6  # too few to say
    measured(measurer, configurations(*range(12, 30, 2)))
    assert limits[-1] == 2.0  # the toy's builds take no time
    measured(measurer, configurations(10), task=OTHER)
    assert limits[-1] == 4.0  # its own may take longer than those of the first


def test_a_compile_limit_follows_the_machine() -> None:
    limit = CompileLimit(10.0)
    for secs in [0.5] * 5 + [9.0] * 3:
        assert limit.secs(TASK) == 10.0
        limit.observe(TASK, secs)
    assert limit.secs(TASK) == limit.secs(OTHER) == 8 * 0.5
    for _ in range(64):
        limit.observe(TASK, 0.05)
    assert (limit.secs(TASK), limit.secs(OTHER)) == (2.0, 4.0)
    for _ in range(64):
        limit.observe(TASK, 3.0)
    assert limit.secs(TASK) == limit.secs(OTHER) == 10.0


def test_where_all_compiles_run_into_the_limit_it_grows(
    pool: WorkerPool[Kernels], log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only they: what does not compile or crashes says nothing."""
    measurer = LocalMeasurer(pool, lock=MachineLock(log.lock_path))
    measured(measurer, configurations(*range(60, 80, 2), 95))
    assert measurer._compile_limit.secs(TASK) == 10.0
    monkeypatch.setattr(CompileLimit, "secs", lambda *_: 0.0)
    outcomes = measured(measurer, configurations(*range(10, 26, 2)))
    timeouts = sum(outcome.status is Status.TIMEOUT for outcome in outcomes)
    assert timeouts > 0
    monkeypatch.undo()
    assert measurer._compile_limit.secs(TASK) < 10.0  # eight were observed
