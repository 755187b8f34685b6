"""The loop on a fake measurer: interrupted and run again, it proposes what it would have."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.app.progress import Silent
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.measure.remembering import Remembering
from chameleon_tuner.ports.measurer import Batch
from chameleon_tuner.ports.records import Environment, RunInfo
from chameleon_tuner.records import RecordStore
from chameleon_tuner.search import loop
from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.history import History
from chameleon_tuner.search.loop import TaskSearch, search
from chameleon_tuner.search.recipes import RECIPES, Recipe
from chameleon_tuner.search.schedule import Budget, GradientScheduler, Plan
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.testing.landscapes import Bowl, conv2d_space, matmul_space, measure

SPACE = conv2d_space()
OPTIMA = SPACE.sample(2, np.random.default_rng(5))
LANDSCAPES = {f"task{n}": Bowl(SPACE, optimum) for n, optimum in enumerate(OPTIMA)}
TASKS = [Task(key, key, f"module of {key}", {}, SPACE, flops=1.0) for key in LANDSCAPES]
OTHER = Task("other", "other", "module of other", {}, matmul_space())
LANDSCAPES["other"] = Bowl(OTHER.space, OTHER.space.sample(1, np.random.default_rng(5))[0])
ENVIRONMENT = Environment("llvm", "a cpu", 2, {})
QUICK = [name for name in RECIPES if name not in ("chameleon-paper",)]


class FakeMeasurer:
    """Answers from a landscape; raises KeyboardInterrupt when its candidates are used up."""

    def __init__(self, candidates: int) -> None:
        self.left = candidates
        self.asked: list[tuple[str, Configuration]] = []

    def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
        return [self._measured(batch.task, batch.configurations) for batch in batches]

    def _measured(self, task: Task, configurations: Sequence[Configuration]) -> list[Outcome]:
        if len(configurations) > self.left:
            raise KeyboardInterrupt
        self.left -= len(configurations)
        self.asked += [(task.key, configuration) for configuration in configurations]
        return measure(LANDSCAPES[task.key], task.space.rows(list(configurations)))


def run(
    folder: Path,
    recipe: Recipe,
    measurer: FakeMeasurer,
    trials: int = 96,
    tasks: Sequence[Task] = TASKS,
) -> None:
    shared = SharedRecords()
    searches = {
        task.key: TaskSearch(
            History(task.space),
            recipe.surrogate(task, shared),
            recipe.explorer(shared),
            recipe.sampler(task),
            np.random.default_rng([0, number]),
        )
        for number, task in enumerate(tasks)
    }
    scheduler = GradientScheduler(tasks, Budget(trials), 16, together=32)
    with RecordStore.open(folder / "records.db") as store:
        run_id = store.begin(RunInfo("model", recipe.name, 0, {}))
        remembering = Remembering(measurer, store, run_id, ENVIRONMENT)
        search(scheduler, searches, remembering, Silent(), Stopwatch())


@pytest.mark.parametrize("name", QUICK)
def test_an_interrupted_run_goes_on_with_the_same_proposals(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    whole, first, second = FakeMeasurer(10**6), FakeMeasurer(50), FakeMeasurer(10**6)
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    run(tmp_path / "whole", recipe, whole)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", recipe, first)
    run(tmp_path / "parts", recipe, second)
    assert first.asked + second.asked == whole.asked
    assert 0 < len(first.asked) <= 50
    assert len(whole.asked) == len(set(whole.asked)) == 96


def test_of_batches_measured_together_those_that_were_stored_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after the first of two."""
    recipe, tasks = RECIPES["chameleon"], [TASKS[0], OTHER]
    whole, first, second = (FakeMeasurer(10**6) for _ in range(3))
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    run(tmp_path / "whole", recipe, whole, tasks=tasks)
    append, calls = RecordStore.append, []

    def cut_off(store: RecordStore, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return append(store, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(RecordStore, "append", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", recipe, first, tasks=tasks)
    run(tmp_path / "parts", recipe, second, tasks=tasks)
    assert {key for key, _ in whole.asked[:32]} == {"task0", "other"}
    assert first.asked == whole.asked[:64]
    assert second.asked == whole.asked[48:]


def test_a_batch_is_proposed_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is while those before it are built."""
    happened: list[str] = []
    proposed = loop.proposed

    def noted(plan: Plan, *others: Any) -> Batch:
        happened.append(f"proposed {plan.task.key}")
        return proposed(plan, *others)

    class Noting(FakeMeasurer):
        def measure(self, batches: Iterable[Batch]) -> list[list[Outcome]]:
            outcomes = []
            for batch in batches:
                happened.append(f"took {batch.task.key}")
                outcomes.append(self._measured(batch.task, batch.configurations))
            return outcomes

    monkeypatch.setattr(loop, "proposed", noted)
    with contextlib.suppress(KeyboardInterrupt):
        run(tmp_path, RECIPES["random"], Noting(40), tasks=[TASKS[0], OTHER])
    assert len(happened) >= 4
    assert happened[0::2] == [took.replace("took", "proposed") for took in happened[1::2]]


def test_what_is_asked_for_twice_is_measured_once(tmp_path: Path) -> None:
    measurer, (one, other) = FakeMeasurer(2), SPACE.configurations(OPTIMA)
    with RecordStore.open(tmp_path / "records.db") as store:
        run_id = store.begin(RunInfo("model", "random", 0, {}))
        remembering = Remembering(measurer, store, run_id, ENVIRONMENT)
        [outcomes] = remembering.measure([Batch(TASKS[0], [one, other, one], math.inf)])
    assert [outcome.proposed for outcome in outcomes] == [one, other, one]
    assert measurer.asked == [(TASKS[0].key, one), (TASKS[0].key, other)]


def test_a_finished_run_measures_nothing_again(tmp_path: Path) -> None:
    recipe, again = RECIPES["chameleon"], FakeMeasurer(0)
    run(tmp_path, recipe, FakeMeasurer(10**6))
    run(tmp_path, recipe, again)
    assert again.asked == []


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    recipe, more = RECIPES["random"], FakeMeasurer(10**6)
    run(tmp_path, recipe, FakeMeasurer(10**6), trials=64)
    run(tmp_path, recipe, more, trials=96)
    assert len(more.asked) == 32


class Learner(TreeSurrogate):
    """Notes how much it had to learn from, each time."""

    def __init__(self, space: DesignSpace) -> None:
        super().__init__(space)
        self.lessons: list[int] = []

    def fit(self, history: History) -> None:
        self.lessons.append(len(history))
        super().fit(history)


def test_the_model_learns_what_there_is_whenever_it_is_asked_and_never_for_nothing(
    tmp_path: Path,
) -> None:
    models: list[Learner] = []

    def surrogate(task: Task, shared: SharedRecords) -> Learner:
        models.append(Learner(task.space))
        return models[-1]

    run(tmp_path, replace(RECIPES["chameleon"], surrogate=surrogate), FakeMeasurer(10**6))
    assert sum(len(model.lessons) for model in models) == 96 // 16
    assert all(model.lessons == [16 * n for n in range(len(model.lessons))] for model in models)
