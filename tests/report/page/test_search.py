"""What the records tell of a search."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import SEARCH, Measurement, Record, Workload
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.sharing import BEGAN_WITH
from chameleon_tuner.report.page.search import Failure, Steps, milestones, read_search, search_of
from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.testing.made import ENVIRONMENT, RUN

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def task(name: str, weight: int, untuned_us: float, *workloads: str) -> TaskResult:
    return TaskResult(
        name, weight, 1e6, untuned_us, 5.0, 2, {}, [], (), workloads=workloads or (name,)
    )


def result(*tasks: TaskResult, folder: Path = Path()) -> Result:
    return Result(
        model="net",
        target={},
        recipe="chameleon",
        seed=0,
        threads=2,
        versions={},
        trials={"attempted": 0, "measured": 0, "censored": 0, "failed": {}},
        seconds={"total": 1.0},
        latency_ms={"tuned": 1.0},
        verified=True,
        errors={},
        tasks=tasks,
        folder=folder,
    )


def outcome(us: float, number: int = 0, **changes: Any) -> Outcome:
    made = Configuration(0, (number,))
    return replace(Outcome(made, made, f"{number}", Status.OK, (us * 1e-6,)), **changes)


def measured(workload: str, us: float = math.inf, **changes: Any) -> Measurement:
    found = outcome(us, **changes)
    return Measurement(workload, "here", Record(1, SEARCH, NOW, found))


def test_every_kernel_counts_with_its_calls_and_its_default_schedule() -> None:
    mine = result(task("a", 2, 20.0, "a", "a-winograd"), task("b", 1, 100.0))
    found = search_of(
        mine,
        [
            measured("b", 200.0),  # slower than the default schedule
            measured("a", 15.0),
            measured("a-winograd", 10.0),  # another algorithm of the same kernel
            measured("a", 12.0),
            measured("of another model", 1.0),
            measured("b", 60.0),
        ],
        "a CPU",
    )
    assert found is not None
    assert (found.network_ms.trials, found.network_ms.end) == ([0, 2, 3, 5], 5)
    assert found.network_ms.values == pytest.approx([0.14, 0.13, 0.12, 0.08])
    assert [kernel.task.name for kernel in found.kernels] == ["a", "b"]
    first, second = (kernel.best_us for kernel in found.kernels)
    assert (first.trials, first.end) == ([1, 2], 3)
    assert first.values == pytest.approx([15.0, 10.0])
    assert second.values == pytest.approx([200.0, 60.0])


def test_a_kernel_whose_default_was_not_timed_is_left_out_of_the_sum() -> None:
    mine = result(task("a", 1, math.inf), task("b", 1, 100.0))
    found = search_of(mine, [measured("a", 1.0), measured("b", 50.0)], "")
    assert found is not None
    assert found.network_ms.values == pytest.approx([0.1, 0.05])
    assert found.left_out == 1
    assert [len(kernel.best_us.values) for kernel in found.kernels] == [1, 1]


def test_only_what_ran_to_its_end_is_a_time() -> None:
    censored = measured("a", 1.0, status=Status.CENSORED)
    failed = measured("a", status=Status.BUILD_ERROR, samples=(), message="no")
    found = search_of(result(task("a", 1, 9.0)), [censored, failed], "")
    assert found is not None
    assert found.kernels[0].best_us == Steps([], [], 2)
    assert found.network_ms == Steps([0], [0.009], 2)


def test_failures_that_differ_in_numbers_have_one_cause() -> None:
    def failed(workload: str, status: Status, message: str) -> Measurement:
        return measured(workload, status=status, samples=(), message=message)

    mine = result(task("a", 1, 9.0), task("b", 1, 9.0))
    found = search_of(
        mine,
        [
            failed("a", Status.CRASHED, "signal 11"),
            failed("a", Status.TIMEOUT, "longer than\n 2 s"),
            failed("b", Status.TIMEOUT, "longer than 4.5 s"),
            failed("b", Status.BUILD_ERROR, "longer than 4.5 s"),
            measured("a", 1.0),
        ],
        "",
    )
    assert found is not None
    assert found.failures == [
        Failure(Status.TIMEOUT, "longer than 2 s", 2, 2),
        Failure(Status.CRASHED, "signal 11", 1, 1),
        Failure(Status.BUILD_ERROR, "longer than 4.5 s", 1, 1),
    ]


times = st.floats(1e-3, 1e6) | st.just(math.inf)


@given(st.lists(st.tuples(st.sampled_from("abc"), times), min_size=1), st.lists(times, min_size=2))
def test_a_curve_never_rises(trials: list[tuple[str, float]], defaults: list[float]) -> None:
    mine = result(task("a", 1, defaults[0]), task("b", 2, defaults[1]))
    made = [
        measured(name, us, status=Status.OK if math.isfinite(us) else Status.CRASHED)
        for name, us in trials
    ]
    found = search_of(mine, made, "")
    known = [us for name, us in trials if name in "ab"]
    assert (found is None) == (not known)
    if found is None:
        return
    for steps in (found.network_ms, *(kernel.best_us for kernel in found.kernels)):
        assert list(steps.values) == sorted(steps.values, reverse=True)
        assert list(steps.trials) == sorted(set(steps.trials))
        shown = list(milestones(steps))
        assert shown[-1] == (steps.end, steps.at(steps.end))
        assert len(shown) <= 6
    finite = [us for us in known if math.isfinite(us)]
    best = [us for kernel in found.kernels for us in kernel.best_us.values]
    assert min(best, default=math.inf) == pytest.approx(min(finite, default=math.inf))


def test_the_records_of_a_folder(tmp_path: Path) -> None:
    """Those of another machine, on which the folder was before, do not count."""
    mine = result(task("a", 1, 20.0), folder=tmp_path)
    assert read_search(mine) is None
    assert not (tmp_path / "records.db").exists()
    workload, elsewhere = Workload("a", "a", ""), replace(ENVIRONMENT, device="an old CPU")
    with RecordStore.open(tmp_path / "records.db") as store:
        run = store.begin(RUN)
        store.append(run, workload, elsewhere, [outcome(1.0)])
        store.append(run, workload, ENVIRONMENT, [outcome(15.0), outcome(10.0, 1)])
    found = read_search(mine)
    assert found is not None
    assert found.device == ENVIRONMENT.device
    assert found.kernels[0].best_us.values == pytest.approx([15.0, 10.0])


@pytest.mark.parametrize("content", [b"", b"no database" * 99])
def test_damaged_records_are_left_out_and_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(content)
    assert read_search(result(task("a", 1, 20.0), folder=tmp_path)) is None
    assert (tmp_path / "records.db").read_bytes() == content


def test_what_was_taken_from_other_runs_is_not_of_another_machine(tmp_path: Path) -> None:
    """The copies of a store are the last records of a run that measured nothing itself."""
    elsewhere = replace(ENVIRONMENT, device="elsewhere")
    mine, relative = Workload("a", "a", ""), Workload("r", "r", "")
    taken = replace(RUN, recipe=BEGAN_WITH)
    with RecordStore.open(tmp_path / "records.db") as store:
        run_id = store.begin(taken)
        store.append(run_id, mine, ENVIRONMENT, [outcome(7.0, 1), outcome(6.0, 2)])
        store.append(run_id, mine, elsewhere, [outcome(1.0, 3)])
        store.append(run_id, relative, elsewhere, [outcome(1.0, number) for number in range(9)])
    found = read_search(result(task("a", 1, 9.0), folder=tmp_path))
    assert found is not None
    assert (found.device, found.network_ms.end) == (ENVIRONMENT.device, 2)
    with RecordStore.open(tmp_path / "records.db") as store:
        store.append(store.begin(RUN), mine, elsewhere, [outcome(2.0, 4)])
    found = read_search(result(task("a", 1, 9.0), folder=tmp_path))
    assert found is not None
    assert (found.device, found.network_ms.end) == ("elsewhere", 2)
