from __future__ import annotations

from pathlib import Path

import pytest

import chameleon_tuner.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner import finish
from chameleon_tuner.machine import thread_environment
from chameleon_tuner.measure.pool import WorkerPool
from chameleon_tuner.stopwatch import Stopwatch
from chameleon_tuner.tvm.compare import Comparison
from chameleon_tuner.tvm.deploy import LIBRARY
from chameleon_tuner.tvm.frontend import import_model
from chameleon_tuner.tvm.prepare import open_target, prepare
from chameleon_tuner.winners import TOLERANCE, Verdict

HANDLER = "chameleon_tuner.tvm.compare:ModelWorker"


def test_a_refused_model_is_replaced_where_it_was_loaded(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has loaded the refused library; nothing is tuned, so the two differ in layout."""
    network = prepare(import_model(str(tiny_onnx)), open_target("auto", 2), 2)
    monkeypatch.setattr(finish, "_why_not", lambda comparison, winners: "refused by the test")
    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        deployed = finish.deploy(network, {}, tmp_path, pool, Stopwatch())
    assert deployed.verified
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
    network = prepare(import_model(str(tiny_onnx)), open_target("auto", 2), 2)
    times = iter(seconds)

    def compared(*_: object) -> Comparison:
        return Comparison({"tuned": next(times), "untuned": 1.0}, {"untuned": 0.0})

    monkeypatch.setattr(finish, "_compare", compared)
    verdicts = {"kernel": Verdict(None, 1.0, 2.0)}
    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        result = finish.deploy(network, verdicts, tmp_path, pool, Stopwatch())
    assert next(times, None) is None
    assert bool(result.verdicts["kernel"].refused) is not deployed
