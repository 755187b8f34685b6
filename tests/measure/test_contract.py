"""Every measurer keeps the contract: without hardware, with toy kernels and with real ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from chameleon_tuner.backends.tvm.backend import HANDLER
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.measure.replay import ReplayMeasurer, replayed
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Handler, HasCandidates
from chameleon_tuner.ports.measurer import Batch, Measurer, TimingPolicy
from chameleon_tuner.records import RecordStore
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import thread_environment
from chameleon_tuner.testing.contracts.measurer import MeasurerContract
from chameleon_tuner.testing.landscapes import two_sketch_space
from chameleon_tuner.testing.made import ENVIRONMENT, RUN

TOY_TASK = Task("toy", "toy", "module", {}, DesignSpace((Sketch((Choice(tuple(range(100))),)),)))


def of_toy(*indices: int) -> list[Configuration]:
    return [Configuration(0, (index,)) for index in indices]


def further(task: Task) -> list[Task]:
    return [replace(task, name=key, key=key) for key in ("other", "another", "third")]


class OfToy:
    """An odd index is read back as the even one below; from 60 on they fail, each in its way."""

    @pytest.fixture
    def task(self) -> Task:
        return TOY_TASK

    @pytest.fixture
    def legal(self) -> list[Configuration]:
        return of_toy(10, 21, 30, 2)

    @pytest.fixture
    def failing(self) -> list[Configuration]:
        return of_toy(95, 60, 70, 80)

    @pytest.fixture
    def twins(self) -> list[Configuration]:
        return of_toy(31, 30)

    @pytest.fixture
    def others(self) -> list[Task]:
        return further(TOY_TASK)


# -- without hardware


@dataclass(frozen=True)
class Recorded:
    task: Task
    outcomes: Sequence[Outcome]
    threads: int = 2


@cache
def recording() -> Recorded:
    """Forty configurations of two sketches; every fifth crashed, and one was censored."""
    space = two_sketch_space()
    rows = space.unique(space.sample(40, np.random.default_rng(0)))
    outcomes = [
        replayed(c, Status.OK, 1e-3 * (1 + number), 0.1, 0.2)
        if number % 5
        else replayed(c, Status.CRASHED, float("inf"), 0.1, 0.2)
        for number, c in enumerate(space.configurations(rows))
    ]
    outcomes[7] = replace(outcomes[7], status=Status.CENSORED)
    return Recorded(Task("recorded", "recorded", "", {}, space), outcomes)


@cache
def replay_of(policy: str) -> ReplayMeasurer:
    return ReplayMeasurer(recording(), policy)


class OfRecords(MeasurerContract):
    policy: str

    @pytest.fixture
    def measurer(self) -> Measurer:
        return replay_of(self.policy)

    @pytest.fixture
    def task(self) -> Task:
        return recording().task

    @pytest.fixture
    def legal(self) -> list[Configuration]:
        """Some recorded ones, and some that are estimated."""
        space, replay = recording().task.space, replay_of(self.policy)
        drawn = space.configurations(space.sample(20, np.random.default_rng(1)))
        secs = replay.true_us(drawn)
        estimated = [c for c, us in zip(drawn, secs, strict=True) if np.isfinite(us)]
        assert len(estimated) > 5
        return [*(recording().outcomes[n].configuration for n in (1, 7, 9)), *estimated[:3]]

    @pytest.fixture
    def failing(self) -> list[Configuration]:
        return [outcome.configuration for outcome in recording().outcomes[::5]]


class TestReplayOfTheNearest(OfRecords):
    policy = "nearest"


class TestReplayOfTheSurrogate(OfRecords):
    policy = "surrogate"


class Fake:
    """Times every candidate anew, with noise: it does not know what is the same module."""

    def __init__(self) -> None:
        self._noise = itertools.count()

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        return [[self._outcome(c) for c in batch.configurations] for batch in batches]

    def _outcome(self, proposed: Configuration) -> Outcome:
        [index] = proposed.indices
        if index >= 90:
            return Outcome(proposed, proposed, "", Status.REJECTED, message="refused")
        [ran] = of_toy(index - index % 2)
        if index >= 60:
            return Outcome(ran, proposed, f"{ran}", Status.CRASHED, message="died")
        samples = (1e-3 + 1e-6 * next(self._noise), 2e-3)
        return Outcome(ran, proposed, f"{ran}", Status.OK, samples, "", 0.1, 0.2)


class TestRemembering(OfToy, MeasurerContract):
    @pytest.fixture
    def measurer(self, tmp_path: Path) -> Iterator[Measurer]:
        with RecordStore.open(tmp_path / "records.db") as store:
            yield Remembering(Fake(), store, store.begin(RUN), ENVIRONMENT)


class TestRememberingWhatAnotherProcessStored(OfToy, MeasurerContract):
    """Half of what is asked is known, some of it by a twin."""

    @pytest.fixture
    def measurer(self, tmp_path: Path, task: Task) -> Iterator[Measurer]:
        with RecordStore.open(tmp_path / "records.db") as store:
            before = Remembering(Fake(), store, store.begin(RUN), ENVIRONMENT)
            before.measure([Batch(task, of_toy(11, 20, 95, 71, 31), float("inf"))])
        with RecordStore.open(tmp_path / "records.db") as store:
            yield Remembering(Fake(), store, store.begin(RUN), ENVIRONMENT)


# -- on this machine


@pytest.fixture(scope="module")
def toy_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool[HasCandidates]]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "lock").touch()
    environment = {
        "PYTHONPATH": str(Path(__file__).parent / "local"),
        "TOY_LOG": str(folder / "log"),
        "TOY_LOCK": str(folder / "lock"),
    }
    entry = HandlerEntry[HasCandidates]("toy_handler", "Kernels")
    with WorkerPool(entry, 2, environment) as pool:
        yield pool


class TestLocalMeasurerOfToys(OfToy, MeasurerContract):
    @pytest.fixture
    def measurer(self, toy_pool: WorkerPool[HasCandidates], lock: MachineLock) -> Measurer:
        return LocalMeasurer(toy_pool, lock=lock)


@pytest.fixture(scope="module")
def tvm_pool() -> Iterator[WorkerPool[Handler]]:
    with WorkerPool(HANDLER, 2, thread_environment(1)) as pool:
        yield pool


class TestLocalMeasurerOfTVM(MeasurerContract):
    @pytest.fixture
    def measurer(self, tvm_pool: WorkerPool[Handler], lock: MachineLock) -> Measurer:
        return LocalMeasurer(tvm_pool, TimingPolicy(budget_secs=0.01), lock=lock)

    @pytest.fixture
    def task(self, dense_task: Task) -> Task:
        return dense_task

    @pytest.fixture
    def legal(self, dense_legal: list[Configuration]) -> list[Configuration]:
        return dense_legal

    @pytest.fixture
    def failing(self) -> list[Configuration]:
        return [Configuration(77, ()), Configuration(0, ())]

    @pytest.fixture
    def twins(self, dense_twins: list[Configuration]) -> list[Configuration]:
        return dense_twins

    @pytest.fixture
    def others(self, dense_task: Task) -> list[Task]:
        return further(dense_task)[:2]
