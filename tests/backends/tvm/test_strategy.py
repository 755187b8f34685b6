"""Chameleon's search as a strategy of MetaSchedule's tuner."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm
from tvm.ir import IRModule
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule
from tvm.s_tir.meta_schedule.builder import BuilderResult, PyBuilder
from tvm.s_tir.meta_schedule.runner import PyRunner, PyRunnerFuture, RunnerResult
from tvm.target import Target

from chameleon_tuner import ChameleonStrategy
from chameleon_tuner.backends.tvm.database import Candidate, MeasuredWorkload, RecordsDatabase
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import as_json
from chameleon_tuner.core.errors import UsageError

CPU = {"kind": "llvm", "num-cores": 2}


def context_of(module: IRModule, strategy: Any) -> Any:
    return meta_schedule.TuneContext(
        mod=module,
        target=Target(CPU),
        space_generator="post-order-apply",
        search_strategy=strategy,
        task_name="primes",
        num_threads=1,
    )


def result_of(candidate: Any, *, failing: bool) -> RunnerResult:
    """Return a result that depends on the candidate alone."""
    secs = 1e-6 * (1 + len(str(candidate.sch.mod)) % 97)
    return RunnerResult(None, "no such luck") if failing else RunnerResult([secs], None)


def tuned(strategy: Any, module: IRModule, trials: int = 24, batch: int = 8) -> list[list[str]]:
    """Tune without building anything; return the traces of all batches."""
    context = context_of(module, strategy)
    context.pre_tuning(trials, batch, context.generate_design_space())
    batches: list[list[str]] = []
    while candidates := context.generate_measure_candidates():
        batches.append([str(candidate.sch.trace) for candidate in candidates])
        failing = len(batches) == 2
        results = [result_of(candidate, failing=failing) for candidate in candidates]
        context.notify_runner_results(candidates, results)
    context.post_tuning()
    return batches


@pytest.fixture(autouse=True)
def _no_log_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the loggers alone, which `tune_tir` cannot set up a second time in a process."""

    def loggers(_: str, names: list[str]) -> list[logging.Logger]:
        return [logging.getLogger(name) for name in names]

    monkeypatch.setattr(meta_schedule.tir_integration, "get_loggers_from_work_dir", loggers)


@pytest.fixture
def module(kernels: dict[str, IRModule]) -> IRModule:
    return kernels["matmul_of_primes"]


def test_it_proposes_new_candidates_in_batches(module: IRModule) -> None:
    batches = tuned(ChameleonStrategy(), module)
    assert [len(batch) for batch in batches] == [8, 8, 8]
    traces = [trace for batch in batches for trace in batch]
    assert len(set(traces)) == 24


def test_a_seed_gives_the_same_candidates(module: IRModule) -> None:
    first, again, other = (tuned(ChameleonStrategy(seed=seed), module, 16) for seed in (1, 1, 2))
    assert first == again != other


def test_every_candidate_is_one_of_the_space(module: IRModule) -> None:
    space, context = TracedSpace(module, Target(CPU)), context_of(module, ChameleonStrategy())
    context.pre_tuning(8, 8, context.generate_design_space())
    for candidate in context.generate_measure_candidates():
        found = space.configuration_of(candidate.sch.trace)
        assert found is not None
        assert space.replay(found).structural_hash
        assert len(candidate.args_info) == 3


def test_it_is_cloned_for_every_kernel_of_a_network(module: IRModule) -> None:
    clone = ChameleonStrategy(seed=3).clone()
    assert tuned(clone, module, 8) == tuned(ChameleonStrategy(seed=3), module, 8)


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown recipe 'chamelon'; did you mean 'chameleon'"):
        ChameleonStrategy("chamelon")


# -- in `tune_tir`, with a builder and a runner that build and run nothing


@derived_object
class Nothing(PyBuilder):  # type: ignore[misc]
    def build(self, build_inputs: Any) -> list[BuilderResult]:
        return [BuilderResult("nowhere", None) for _ in build_inputs]


@derived_object
class Done(PyRunnerFuture):  # type: ignore[misc]
    def __init__(self, secs: float) -> None:
        super().__init__()
        self._secs = secs

    def done(self) -> bool:
        return True

    def result(self) -> RunnerResult:
        return RunnerResult([self._secs], None)


@derived_object
class Pretending(PyRunner):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(0)

    def run(self, runner_inputs: Any) -> list[Any]:
        return [Done(float(self._rng.uniform(1e-6, 2e-6))) for _ in runner_inputs]


def test_tune_tir_takes_it_and_its_database_serves_the_best(
    module: IRModule, tmp_path: Path
) -> None:
    database = meta_schedule.tune_tir(
        module,
        Target(CPU),
        str(tmp_path),
        16,
        num_trials_per_iter=8,
        builder=Nothing(),
        runner=Pretending(),
        measure_callbacks=[meta_schedule.measure_callback.AddToDatabase()],
        cost_model="random",
        strategy=ChameleonStrategy(),
        num_tuning_cores=1,
    )
    assert len(database.get_all_tuning_records()) == 16
    best = database.query_schedule(module, Target(CPU), "main")
    assert best is not None
    assert tvm.tirx.build(best.mod, target=Target(CPU)) is not None


@pytest.mark.parametrize("ours", [True, False])
def test_tune_tir_goes_on_with_the_records_of_a_run(
    module: IRModule, tmp_path: Path, ours: bool
) -> None:
    space, text = TracedSpace(module, Target(CPU)), str(tvm.ir.save_json(module))
    [best] = space.design.configurations(space.design.sample(1, np.random.default_rng(0)))
    measured = MeasuredWorkload(text, as_json(Target(CPU)), [Candidate(best, 1e-9)])
    database = meta_schedule.tune_tir(
        module,
        Target(CPU),
        str(tmp_path),
        8,
        num_trials_per_iter=8,
        builder=Nothing(),
        runner=Pretending(),
        database=RecordsDatabase([measured], "records"),
        measure_callbacks=[meta_schedule.measure_callback.AddToDatabase()],
        cost_model="random",
        strategy=ChameleonStrategy() if ours else "evolutionary",
        num_tuning_cores=1,
    )
    assert len(database) == 9
    found = database.query_schedule(module, Target(CPU), "main")
    assert meta_schedule.utils.shash2hex(found.mod) == space.replay(best).structural_hash
