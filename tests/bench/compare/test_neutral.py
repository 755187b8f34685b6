"""The neutral timer: its bookkeeping with made-up clocks, and once with real kernels."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch
from chameleon_tuner.ports.entry import HandlerEntry

# isort: split

import tvm
from tvm import te, topi
from tvm.target import Target

from chameleon_tuner.backends.tvm.run.candidates import NeutralTimer
from chameleon_tuner.backends.tvm.run.handler import TVMHandler
from chameleon_tuner.backends.tvm.run.workbench import WarmKernel
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.bench.compare.neutral import Samples, median_us, neutral_samples, noise, timed
from chameleon_tuner.core.configuration import (
    Configuration,
    DeployedKernel,
    ForeignTrace,
    LoweredByTVM,
)
from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.measurer import LocalNeutralTimer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.handler import Failed, HasNeutralTimer
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import thread_environment

SPACE = DesignSpace((Sketch((Choice(tuple(range(100))),)),))
TASK = Task("toy", "the key", "module", {}, SPACE)


def numbered(*indices: int) -> list[Configuration]:
    return [Configuration(0, (index,)) for index in indices]


@dataclass(frozen=True)
class Found:
    samples: Samples


@dataclass
class Clock:
    """Candidate i takes i milliseconds; some are deadly, some just fail."""

    deadly: Sequence[Configuration] = ()
    failing: Sequence[Configuration] = ()
    most: int = 1000
    """More than so many at once are deadly, too."""
    asked: list[list[Configuration]] = field(default_factory=list)

    def time(
        self, task: Task, configurations: Sequence[Configuration], rounds: int, round_secs: float
    ) -> list[Found]:
        self.asked.append(list(configurations))
        if len(configurations) > self.most or set(configurations) & set(self.deadly):
            raise Failed(Status.CRASHED, "SIGSEGV during time", fatal=True)
        return [
            Found(() if c in self.failing else (c.indices[0] * 1e-3,) * rounds)
            for c in configurations
        ]


# -- timing


def test_each_distinct_candidate_is_timed_once_beside_the_others() -> None:
    clock = Clock(failing=numbered(2))
    samples = neutral_samples(clock, TASK, numbered(3, 1, 3, 2))
    found = {configuration: median_us(mine) for configuration, mine in samples.items()}
    assert found == dict(zip(numbered(3, 1, 2), (3000.0, 1000.0, math.inf), strict=True))
    assert clock.asked == [numbered(3, 1, 2)]
    assert neutral_samples(clock, TASK, []) == {}


@given(st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12)))
def test_who_takes_the_others_along_is_found(all_of: set[int], deadly: set[int]) -> None:
    asked = numbered(*all_of)
    clock = Clock(deadly=numbered(*deadly))
    found = neutral_samples(clock, TASK, asked, rounds=2)
    assert list(found) == asked
    for configuration, samples in found.items():
        [index] = configuration.indices
        assert samples == (() if index in deadly else (index * 1e-3,) * 2)
    if all_of - deadly:
        assert clock.asked[-1] == numbered(*[n for n in all_of if n not in deadly])


def test_what_fails_only_together_is_an_error_that_says_so() -> None:
    with pytest.raises(MeasurementError, match=r"toy: .*SIGSEGV during time.*free memory"):
        neutral_samples(Clock(most=1), TASK, numbered(1, 2))


def test_the_median_counts() -> None:
    assert median_us((3e-6, 1e-6, 8e-6)) == pytest.approx(3.0)
    assert median_us(()) == math.inf


def test_noise_is_the_spread_of_the_middle_candidate() -> None:
    steady, rough, wild = (2.0,) * 5, (8.0, 9.0, 10.0, 11.0, 12.0), (1.0, 50.0, 100.0)
    assert noise([rough]) == pytest.approx(0.2)
    assert noise([wild, rough, (), steady]) == pytest.approx(0.2)
    assert noise([steady]) == 0.0
    assert math.isnan(noise([(), ()]))


@given(st.lists(st.lists(st.floats(1e-7, 1.0), min_size=1, max_size=7).map(tuple), min_size=1))
def test_noise_has_no_unit(samples: list[Samples]) -> None:
    slower = [tuple(secs * 1024 for secs in mine) for mine in samples]
    assert noise(samples) == pytest.approx(noise(slower))
    assert noise(samples) >= 0


# -- the file of a session


def session(folder: Path, indices: Sequence[int], task: Task = TASK) -> tuple[bool, list[float]]:
    """Whether it was timed now, and the medians in microseconds."""
    clock = Clock(failing=numbered(9))
    asked = numbered(*indices)
    found = timed(folder, task, asked, lambda some: neutral_samples(clock, task, some))
    assert list(found) == list(dict.fromkeys(asked))
    assert not any(len(together) != len(found) for together in clock.asked)
    return bool(clock.asked), [median_us(samples) for samples in found.values()]


def test_a_session_is_kept_until_somebody_joins(tmp_path: Path) -> None:
    folder = tmp_path / "neutral" / "times"
    assert session(folder, []) == (False, [])
    assert not folder.exists()
    assert session(folder, [1, 9, 2]) == (True, [1000.0, math.inf, 2000.0])
    assert session(folder, [2, 9, 1, 2]) == (False, [2000.0, math.inf, 1000.0])
    assert session(folder, [9]) == (False, [math.inf])
    assert session(folder, [1, 3]) == (True, [1000.0, 3000.0])
    assert session(folder, [2]) == (True, [2000.0])
    assert [path.name for path in folder.iterdir()] == ["toy.json"]


def test_a_session_tells_who_lowered_a_kernel(tmp_path: Path) -> None:
    [mine] = numbered(1)
    kernels = {mine: (1.0,), LoweredByTVM(mine): (2.0,), ForeignTrace("trace"): (3.0,)}
    assert timed(tmp_path, TASK, list(kernels), lambda some: kernels) == kernels
    assert timed(tmp_path, TASK, list(kernels), lambda some: {}) == kernels


def test_a_session_from_before_lowerings_were_told_apart_is_of_tvms(tmp_path: Path) -> None:
    [mine] = numbered(1)
    old = {"task": TASK.key, "samples": [[mine.to_json(), [2.0]]]}
    (tmp_path / "toy.json").write_text(json.dumps(old))
    theirs = LoweredByTVM(mine)
    assert timed(tmp_path, TASK, [theirs], lambda some: {}) == {theirs: (2.0,)}
    assert session(tmp_path, [1]) == (True, [1000.0])


def test_another_task_of_that_name_is_timed_itself(tmp_path: Path) -> None:
    assert session(tmp_path, [1])[0]
    assert session(tmp_path, [1], replace(TASK, key="another key"))[0]
    assert session(tmp_path, [1], replace(TASK, name="other"))[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.json", "toy.json"]


@pytest.mark.parametrize(
    "damage",
    [
        *("", "{", "null", "[]", "{}", '{"task": "the key"}', '{"task": "the key", "samples": 3}'),
        '{"task": "the key", "samples": [[{"sketch": 0}, []]]}',
        '{"task": "the key", "samples": [[{"sketch": 0, "indices": [1]}, [null]]]}',
        '{"task": "the key", "samples": [[{"sketch": 0, "indices": [1]}]]}',
    ],
)
def test_a_damaged_file_is_replaced(tmp_path: Path, damage: str) -> None:
    (tmp_path / "toy.json").write_text(damage)
    assert session(tmp_path, [1]) == (True, [1000.0])
    assert session(tmp_path, [1]) == (False, [1000.0])


def test_nothing_is_kept_of_a_session_that_breaks_off(tmp_path: Path) -> None:
    session(tmp_path, [1])
    with pytest.raises(MeasurementError):
        timed(tmp_path, TASK, numbered(1, 2), lambda c: neutral_samples(Clock(most=1), TASK, c))
    assert session(tmp_path, [1]) == (False, [1000.0])


# -- real kernels

HERE = {"kind": "llvm", "num-cores": 2}


class DeadlyTimer(NeutralTimer):
    """Dies of the candidate whose indices are in its environment."""

    def _contestant(self, key: str, deployed: DeployedKernel) -> WarmKernel:
        assert isinstance(deployed, Configuration)
        if str(deployed.indices) == os.environ["DEADLY"]:
            os._exit(3)
        return super()._contestant(key, deployed)


class Deadly(TVMHandler):
    def __init__(self) -> None:
        super().__init__()
        self.neutral = DeadlyTimer(self.tasks)


@pytest.fixture(scope="module")
def dense_task() -> Task:
    data, weight = (
        te.placeholder(shape, name=n) for n, shape in zip("dw", ((16, 32), (48, 32)), strict=True)
    )
    function = te.create_prim_func([data, weight, topi.nn.dense(data, weight)])
    function = function.with_attrs({"global_symbol": "main", "layout_free_buffers": [1]})
    module = tvm.IRModule({"main": function})
    space = TracedSpace(module, Target(HERE)).design
    return Task("dense", "dense", str(tvm.ir.save_json(module)), HERE, space)


def test_real_kernels_and_one_that_ends_its_process(dense_task: Task, tmp_path: Path) -> None:
    rows = dense_task.space.unique(dense_task.space.sample(20, np.random.default_rng(0)))[:4]
    good, deadly, *others = dense_task.space.configurations(rows)
    asked = [good, deadly, Configuration(77, ()), *others]
    variables = {"PYTHONPATH": str(Path(__file__).parent), "DEADLY": str(deadly.indices)}
    handler = HandlerEntry[HasNeutralTimer]("test_neutral", "Deadly")
    with WorkerPool(handler, 1, {**thread_environment(1), **variables}) as pool:
        timer = LocalNeutralTimer(pool, lock=MachineLock(tmp_path / "lock"))
        found = neutral_samples(timer, dense_task, asked, rounds=3, round_secs=0.002)
    assert [len(samples) for samples in found.values()] == [3, 0, 0, 3, 3]
    assert all(0 < secs < 0.1 for samples in found.values() for secs in samples)
    assert noise(found.values()) >= 0
