"""What is deployed: the tuned model where it is better, and otherwise what runs the model today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from odd_models import odd

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.app import deploy as stage
from chameleon_tuner.app.deploy import Decision, Deployer, Deployment
from chameleon_tuner.app.judge import Verdict
from chameleon_tuner.backends.tvm.backend import HANDLER, TVMBackend
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.handler import (
    ONNXRUNTIME,
    TUNED,
    UNTUNED,
    Comparison,
    HasModels,
    OpenModel,
)
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import thread_environment

Y = [1.0, -4.0]
SPACE = DesignSpace((Sketch((Choice((1, 2)),)),))
OURS = Task("k", "k", "", {}, SPACE)
OTHER = Task("k.winograd", "o", "", {}, SPACE, algorithm="winograd 2x2", computes="k")


class MadeProject:
    """A project of `odd_models`, one dictionary of contestants a variant; notes what is done."""

    def __init__(self, *variants: Mapping[str, OpenModel]) -> None:
        self.variants = [f"x={number}" for number in range(len(variants))]
        self.done: list[Any] = []
        self._contestants = variants

    def build(self, winners: Mapping[str, Winner], folder: Path) -> None:
        self.done.append(("build", sorted(winners)))

    def contestants(self, folder: Path, variant: int) -> Mapping[str, OpenModel]:
        return self._contestants[variant]

    def mending(self, variant: int) -> None:
        return None

    def keep(self, contestant: str, folder: Path, variant: int) -> None:
        self.done.append(("keep", contestant, variant))

    def drop_rivals(self, folder: Path) -> None:
        self.done.append("drop")


Deploy = Callable[..., Deployment]


@pytest.fixture
def deploy(odd_pool: WorkerPool[HasModels], tmp_path: Path) -> Deploy:
    def run(project: Any, verdicts: Mapping[str, Verdict] | None = None) -> Deployment:
        deployer = Deployer(project, tmp_path, odd_pool, Stopwatch(), project.done.append)
        return deployer.deploy(verdicts or {})

    return run


def asked(project: MadeProject) -> list[Any]:
    """What was asked of a project, without the comparisons."""
    return [step for step in project.done if not isinstance(step, Comparison)]


def compared(project: MadeProject) -> list[Comparison]:
    return [step for step in project.done if isinstance(step, Comparison)]


def winning(task: Task = OURS) -> dict[str, Verdict]:
    """Verdicts in which a task of the kernel `k` won."""
    return {"k": Verdict(Finalist(task, Configuration(0, (1,))), 1.0, 2.0)}


def pair(rival: str = ONNXRUNTIME, **tuned: Any) -> dict[str, OpenModel]:
    """A tuned model that behaves as told, and a rival that takes 2 ms."""
    outputs = tuned.pop("outputs", Y)
    return {TUNED: odd(TUNED, outputs, **tuned), rival: odd(rival, Y, secs=0.002)}


def test_a_tuned_model_that_is_faster_and_right_is_deployed(deploy: Deploy) -> None:
    project = MadeProject(pair(secs=0.001))
    found = deploy(project, winning())
    assert asked(project) == [("build", ["k"]), "drop"]
    [decision] = found.decisions
    assert (decision.deployed, decision.reason, decision.verified) == (TUNED, "", True)
    assert compared(project) == [decision.comparison]
    assert found.verdicts == winning()


@pytest.mark.parametrize("rival", [ONNXRUNTIME, UNTUNED])
@pytest.mark.parametrize(
    ("tuned", "reason", "comparisons"),
    [
        ({"secs": 0.001, "outputs": [1.0, -4.1]}, "the outputs of the whole tuned model differ", 1),
        ({"secs": 0.001, "outputs": [Y]}, "the outputs of the whole tuned model differ", 1),
        ({"secs": 0.003}, "the whole tuned model is not faster than {}", 2),
        ({"dies": "open"}, "the whole tuned model does not run: ", 1),
        ({"dies": "outputs"}, "the whole tuned model does not run: ", 1),
        ({"raises": "time"}, "the whole tuned model does not run: ", 1),
    ],
    ids=["wrong", "other shape", "slow", "dies", "dies later", "raises"],
)
def test_one_that_is_not_is_replaced_by_what_runs_the_model_today(
    tuned: dict[str, Any], reason: str, comparisons: int, rival: str, deploy: Deploy
) -> None:
    project = MadeProject(pair(rival, **tuned))
    found = deploy(project, winning())
    assert asked(project) == [("build", ["k"]), ("keep", rival, 0), "drop"]
    [decision] = found.decisions
    assert decision.deployed == rival
    assert decision.reason.startswith(reason.format(rival))
    assert decision.verified  # what is deployed is what all others are compared with
    assert len(compared(project)) == comparisons
    assert found.verdicts == winning()  # the kernels were tuned, whatever is deployed


def test_a_model_that_seems_slower_is_timed_once_more(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour of the machine was busy."""
    times = iter([0.003, 0.001])

    def busy(*_: object) -> Comparison:
        return Comparison({TUNED: [next(times)], ONNXRUNTIME: [0.002]}, {ONNXRUNTIME: 0.0})

    monkeypatch.setattr(stage, "compared", busy)
    project = MadeProject({})
    [decision] = deploy(project).decisions
    assert decision.deployed == TUNED
    assert [c.latency_secs[TUNED] for c in compared(project)] == [0.003, 0.001]


def test_a_rival_that_does_not_run_leaves_nothing_to_verify_with(deploy: Deploy) -> None:
    rivals = {ONNXRUNTIME: odd(ONNXRUNTIME, Y, dies="outputs")}
    project = MadeProject({TUNED: odd(TUNED, Y), **rivals})
    [decision] = deploy(project).decisions
    assert (decision.deployed, decision.reason) == (TUNED, "")
    assert not decision.verified


def test_where_nothing_runs_the_reasons_are_told(deploy: Deploy) -> None:
    names = (TUNED, ONNXRUNTIME)
    project = MadeProject({name: odd(name, Y, raises="open") for name in names})
    with pytest.raises(
        LibraryError, match=r"nothing runs the model \(tuned: .*no open today.*; on"
    ):
        deploy(project)


def test_the_advice_names_the_algorithms_of_a_wrong_model(deploy: Deploy) -> None:
    project = MadeProject(pair(outputs=[0.0, 0.0]))
    [decision] = deploy(project, winning(OTHER)).decisions
    assert decision.reason.endswith("differ; tune with --without winograd")


def test_every_variant_of_shapes_is_decided_by_itself(deploy: Deploy) -> None:
    project = MadeProject(pair(secs=0.003), pair(secs=0.001), pair(outputs=[0.0, 0.0]))
    found = deploy(project, winning())
    assert asked(project) == [
        ("build", ["k"]),
        ("keep", ONNXRUNTIME, 0),
        ("keep", ONNXRUNTIME, 2),
        "drop",
    ]
    assert [decision.shapes for decision in found.decisions] == ["x=0", "x=1", "x=2"]
    assert [decision.deployed for decision in found.decisions] == [ONNXRUNTIME, TUNED, ONNXRUNTIME]
    assert found.verdicts == winning()  # a kernel is used in one of them


def test_a_decision_is_verified_by_the_outputs_of_all_others() -> None:
    comparison = Comparison({}, {ONNXRUNTIME: 1e-7, UNTUNED: float("nan")})
    assert not Decision("", comparison, TUNED, "").verified
    assert Decision("", comparison, UNTUNED, "it is wrong").verified


# -- with TVM


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_why_not", lambda comparison, winners: "refused by the test")


@pytest.mark.parametrize("kind", ["onnx", "relax"])
def test_a_refused_model_is_replaced_in_its_folder(
    kind: str, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker has loaded the refused library."""
    model: Any = str(tiny_onnx)
    if kind == "relax":
        from chameleon_tuner.backends.tvm.frontend.program import import_model

        model = import_model(model).module
    backend = TVMBackend()
    project = backend.prepare(backend.read(model), without=("separable", "winograd"))
    refuse(monkeypatch)
    with WorkerPool(HANDLER, 1, thread_environment(2)) as pool:
        recorded: list[Comparison] = []
        found = Deployer(project, tmp_path, pool, Stopwatch(), recorded.append).deploy({})
    [decision] = found.decisions
    rival = UNTUNED if kind == "relax" else ONNXRUNTIME
    assert (decision.deployed, decision.reason) == (rival, "refused by the test")
    assert decision.comparison.errors[rival] <= 1e-3
    assert recorded[-1] == decision.comparison
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "manifest.json",
        *(("model.so", "model.params") if kind == "relax" else ("original/model.onnx",)),
    }
    library = Library(tmp_path)
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    [spec] = library.manifest.inputs
    [y] = library({spec.name: x}).values()
    [wanted] = onnxruntime.InferenceSession(str(tiny_onnx)).run(None, {"input": x})
    np.testing.assert_allclose(y, wanted, rtol=1e-3, atol=1e-5)
