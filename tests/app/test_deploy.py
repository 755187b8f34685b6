from __future__ import annotations

from pathlib import Path

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.app import deploy as stage
from chameleon_tuner.app.judge import TOLERANCE, Verdict
from chameleon_tuner.backends.tvm.backend import HANDLER, TVMBackend
from chameleon_tuner.backends.tvm.deploy.library import LIBRARY
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.backend import Project
from chameleon_tuner.ports.handler import Comparison
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment


def project_of(model: Path) -> Project:
    backend = TVMBackend()
    return backend.prepare(backend.read(model), without=("separable", "winograd"))


def test_a_refused_model_is_replaced_where_it_was_loaded(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has loaded the refused library; nothing is tuned, so the two differ in layout."""
    project = project_of(tiny_onnx)
    monkeypatch.setattr(stage, "_why_not", lambda comparison, winners: "refused by the test")
    recorded: list[bool] = []  # whether what was compared was the tuned library

    def record(comparison: Comparison, tuned: bool) -> None:
        recorded.append(tuned)

    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        deployed = stage.deploy(project, {}, tmp_path, pool, Stopwatch(), record)
    assert deployed.verified
    assert recorded == [True, False] or recorded == [True, True, False]
    assert deployed.comparison.errors["untuned"] == 0.0
    assert deployed.comparison.errors["onnxruntime"] <= TOLERANCE
    assert [path.name for path in tmp_path.glob("*.so")] == [LIBRARY]


@pytest.mark.parametrize(("seconds", "deployed"), [([2.0, 0.5], True), ([2.0, 2.0, 1.0], False)])
def test_a_model_that_seems_slower_is_timed_once_more(
    seconds: list[float],
    deployed: bool,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A neighbour of the machine was busy; or the model is slow, and the untuned one is timed."""
    project = project_of(tiny_onnx)
    times = iter(seconds)

    def compared(*_: object) -> Comparison:
        return Comparison({"tuned": [next(times)], "untuned": [1.0]}, {"untuned": 0.0})

    monkeypatch.setattr(stage, "_compare", compared)
    verdicts = {"kernel": Verdict(None, 1.0, 2.0)}
    recorded: list[bool] = []  # whether what was compared was the tuned library

    def record(comparison: Comparison, tuned: bool) -> None:
        recorded.append(tuned)

    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        result = stage.deploy(project, verdicts, tmp_path, pool, Stopwatch(), record)
    assert next(times, None) is None
    assert recorded == [True, True] if deployed else [True, True, False]
    assert bool(result.verdicts["kernel"].refused) is not deployed
