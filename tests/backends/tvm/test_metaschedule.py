"""TVM's own tuner as a contestant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.utils import shash2hex
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from chameleon_tuner.backends.tvm import metaschedule as peer
from chameleon_tuner.backends.tvm.deploy.build import RECORDS, WORKLOADS
from chameleon_tuner.backends.tvm.metaschedule import (
    PeerRequest,
    counterpart,
    foreign,
    search_seed,
    status_of,
    tune,
)
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.core.configuration import ForeignTrace
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.runlog import RunLog, read_log
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment, usable_cores

CPU = {"kind": "llvm", "num-cores": 2}
"""Any CPU of this family: what is measured has to run."""
BUILD_TIMEOUT = "LocalBuilder: Timeout, killed after 30.0 seconds"
BUILD_ERROR = "LocalBuilder: An exception occurred\nno such instruction"
RUN_TIMEOUT = "LocalRunner: Timeout, killed after 30 seconds\n"
RUN_ERROR = "LocalRunner: An exception occurred\nTimeout of the device"
RUN_CRASH = "LocalRunner: An exception occurred\nSubprocess terminated"


@pytest.fixture
def request_(kernels_json: dict[str, str]) -> PeerRequest:
    return PeerRequest("metaschedule", "primes", kernels_json["matmul_of_primes"], CPU, 3, 8)


@pytest.mark.parametrize(
    ("build_error", "run_error", "status"),
    [
        (None, None, Status.OK),
        (BUILD_ERROR, BUILD_ERROR, Status.BUILD_ERROR),
        (BUILD_TIMEOUT, BUILD_TIMEOUT, Status.TIMEOUT),
        (None, RUN_ERROR, Status.RUN_ERROR),
        (None, RUN_TIMEOUT, Status.TIMEOUT),
        (None, RUN_CRASH, Status.CRASHED),
    ],
)
def test_how_a_measurement_ended(
    build_error: str | None, run_error: str | None, status: Status
) -> None:
    assert status_of(build_error, run_error) is status


def test_every_seed_is_one_that_tvm_takes() -> None:
    seeds = [0, 1, 7, 2**32 - 1, 2**63, -1]
    assert [search_seed(seed) for seed in seeds[:4]] == seeds[:4]
    for seed in seeds:
        [forked] = meta_schedule.utils.fork_seed(search_seed(seed), n=1)
        assert forked > 0


def with_jobs(trace: Trace, cores: int) -> Trace:
    """What `MutateParallel` makes of a trace: another limit of parallel jobs."""
    return peer._with_all_jobs(trace, Target({**CPU, "num-cores": cores}))


def test_another_limit_of_parallel_jobs_may_make_the_same_module(
    kernels: dict[str, IRModule],
) -> None:
    space = TracedSpace(kernels["conv2d"], Target(CPU))
    mine, other = space.design.configurations(space.design.sample(2, np.random.default_rng(0)))
    replayed = space.replay(mine)
    trace, module = with_jobs(replayed.schedule.trace, 1), replayed.schedule.mod
    assert space.configuration_of(trace) is None
    assert counterpart(space, SimpleNamespace(trace=trace, mod=module)) == replayed.configuration
    made_otherwise = SimpleNamespace(trace=trace, mod=space.replay(other).schedule.mod)
    assert counterpart(space, made_otherwise) is None


def test_what_has_no_configuration_is_built_again_from_its_trace(
    kernels: dict[str, IRModule],
) -> None:
    space = TracedSpace(kernels["matmul_of_primes"], Target(CPU))
    (mine,) = space.design.configurations(space.design.sample(1, np.random.default_rng(4)))
    schedule = space.replay(mine).schedule
    again = space.retraced(foreign(schedule))
    assert shash2hex(again.mod) == shash2hex(schedule.mod)


# -- rounds that a pretended MetaSchedule hands over


def round_of(space: TracedSpace, outcomes: list[tuple[list[float], str | None]], seed: int) -> Any:
    rows = space.design.sample(len(outcomes), np.random.default_rng(seed))
    schedules = [space.replay(c).schedule for c in space.design.configurations(rows)]
    return (
        [SimpleNamespace(sch=schedule) for schedule in schedules],
        [SimpleNamespace(error_msg=None)] * len(outcomes),
        [SimpleNamespace(run_secs=secs, error_msg=error) for secs, error in outcomes],
    )


def pretend(monkeypatch: pytest.MonkeyPatch, rounds: Iterator[Any]) -> None:
    """MetaSchedule, without its searching and measuring."""

    def tune_tir(*args: Any, measure_callbacks: list[Any], **options: Any) -> None:
        for results in rounds:
            measure_callbacks[-1].note(*results)

    monkeypatch.setattr(peer, "AfterRound", lambda note: SimpleNamespace(note=note))
    monkeypatch.setattr(meta_schedule, "tune_tir", tune_tir)


def test_the_log_grows_by_rounds_and_failures_are_data(
    request_: PeerRequest,
    kernels: dict[str, IRModule],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = TracedSpace(kernels["matmul_of_primes"], Target(CPU))

    def rounds() -> Iterator[Any]:
        yield round_of(space, [([2e-6, 4e-6], None), ([], RUN_CRASH)], seed=0)
        yield round_of(space, [([1e-6], None)], seed=1)
        raise ValueError("no more\nof it")

    pretend(monkeypatch, rounds())
    kept: list[RunLog] = []
    log = tune(request_, tmp_path, Stopwatch(), kept.append)
    assert [batch.measurements for batch in log.batches] == [2, 3]
    assert [trial.own_secs for trial in log.trials] == pytest.approx([3e-6, np.inf, 1e-6])
    assert [i.measurements for i in log.incumbents()] == [1, 3]
    assert log.failures() == {"crashed": 1}
    assert log.error == "ValueError: no more"
    assert [k.trials for k in kept] == [log.trials[:2], log.trials]
    assert [k.total_secs for k in kept] == [batch.seconds for batch in log.batches]
    assert 0 < log.startup_secs < log.batches[0].seconds < log.total_secs


def test_no_round_begins_after_the_budget(
    request_: PeerRequest,
    kernels: dict[str, IRModule],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = TracedSpace(kernels["matmul_of_primes"], Target(CPU))
    clock = Stopwatch()
    monkeypatch.setattr(clock, "total", count().__next__)  # a second a look
    pretend(monkeypatch, (round_of(space, [([1e-6], None)], seed) for seed in count()))
    budgeted = PeerRequest(**{**vars(request_), "budget_secs": 3.0})
    log = tune(budgeted, tmp_path, clock, lambda log: None)
    assert not log.error
    assert [batch.seconds for batch in log.batches] == [1.0, 2.0, 3.0]  # ours are not counted


# -- the real one

# TVM imports the tensor intrinsics of every target in this process and in every builder's worker:
# 15 s and more each, nearly all of it in `inspect`, which searches all modules for every frame.
# PyTorch, which TVM's workers import where it is installed, does not bear the short cut.
QUICK_IMPORTS = """
import inspect
import sys

class WithoutTorch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutTorch)
inspect.getmodule = lambda *args: None
"""

REAL = """
import json
import sys
from pathlib import Path
import psutil
from chameleon_tuner.ports.runlog import write_log
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.backends.tvm import metaschedule as peer
folder = Path(sys.argv[1])
request = peer.PeerRequest(**json.loads((folder / "request.json").read_text()))
peer.TRIALS_PER_ROUND = 4
log = peer.tune(request, folder, Stopwatch(from_process_start=True), lambda log: None)
write_log(log, folder / "log.json")
sys.exit(len(psutil.Process().children(recursive=True)))
"""


def test_tvm_tunes_a_small_matmul(
    request_: PeerRequest, kernels: dict[str, IRModule], tmp_path: Path
) -> None:
    """Its first round only: the budget ends it before the second."""
    (tmp_path / RECORDS).write_text("of an earlier run")
    (tmp_path / "request.json").write_text(json.dumps({**vars(request_), "budget_secs": 0.0}))
    (tmp_path / "sitecustomize.py").write_text(QUICK_IMPORTS)
    threads = thread_environment(usable_cores())
    done = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)],
        env={**os.environ, **threads, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    log = read_log(tmp_path / "log.json")
    assert (log.recipe, log.task, log.seed, log.error) == ("metaschedule", "primes", 3, "")
    assert [batch.measurements for batch in log.batches] == [4] == [len(log.trials)]
    assert log.startup_secs < log.batches[0].seconds <= log.total_secs
    stored = meta_schedule.database.JSONDatabase(str(tmp_path / WORKLOADS), str(tmp_path / RECORDS))
    best = min(stored.get_all_tuning_records(), key=lambda record: float(record.run_secs[0]))
    space = TracedSpace(kernels["matmul_of_primes"], Target(CPU))
    for trial in log.trials:
        assert trial.status is Status.OK
        if trial.configuration is None:  # a mutator of its own, of what there is no knob for
            assert trial.trace is not None
            assert space.retraced(trial.trace).mod
        else:
            assert space.replay(trial.configuration).configuration == trial.configuration
    last = log.incumbents()[-1]
    assert last.own_secs == float(best.run_secs[0])
    assert last.kernel == space.configuration_of(best.trace) or isinstance(
        last.kernel, ForeignTrace
    )
