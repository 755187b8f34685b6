"""Where timings are comparable: records of one device are never taken for another's."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from chameleon_tuner.backends.tvm import project as projects
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import Network, open_target, prepare
from chameleon_tuner.backends.tvm.project import TVMProject, device_name
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.system.machine import cpu_name

import tvm  # isort: skip
from tvm import te, topi  # isort: skip


@dataclass(frozen=True)
class StandIn:
    """A device of TVM's, as far as the environment asks it."""

    device_name: str | None
    exist: bool = True


def prepared(target: tvm.target.Target) -> Network:
    a, b = te.placeholder((16, 32), name="a"), te.placeholder((32, 8), name="b")
    program = import_model(te.create_prim_func([a, b, topi.matmul(a, b)]))
    return prepare(program, target, 2, registered())


@pytest.fixture(scope="module")
def network() -> Network:
    return prepared(open_target("auto", 2))


@pytest.fixture
def cuda_project(network: Network) -> TVMProject:
    """With spaces of a CPU, which the environment has nothing to do with: they take 15 s less."""
    return TVMProject([replace(network, target=resolve_target("cuda -arch=sm_90", 2))])


def test_a_cpu_project_has_the_name_of_the_cpu(network: Network) -> None:
    environment = TVMProject([network]).environment
    assert environment.device == cpu_name()
    assert json.loads(environment.target)["kind"] == "llvm"


def test_a_cuda_project_has_the_name_of_the_gpu_and_not_of_the_cpu(
    cuda_project: TVMProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-40GB"):
        device = StandIn(name)
        monkeypatch.setattr(projects, "device_of", lambda target, device=device: device)
        environment = cuda_project.environment
        assert environment.device == name != cpu_name()
        assert json.loads(environment.target)["kind"] == "cuda"
        assert environment == cuda_project.environment
        found.append(environment.fingerprint)
    assert len(set(found)) == 2


@pytest.mark.parametrize("device", [StandIn(None), StandIn("nobody asks", exist=False)])
def test_a_gpu_without_a_name_has_that_of_its_kind(
    device: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects, "device_of", lambda target: device)
    assert device_name(resolve_target("cuda -arch=sm_90", 2)) == "cuda"


@pytest.mark.skipif(tvm.cuda(0).exist, reason="for a machine without a CUDA device")
def test_a_gpu_that_is_not_there_is_no_error(cuda_project: TVMProject) -> None:
    assert cuda_project.environment.device == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not tvm.cuda(0).exist, reason="needs a CUDA device")
def test_the_gpu_of_this_machine_is_named() -> None:
    environment = TVMProject([prepared(open_target("cuda", 2))]).environment
    assert environment.device == tvm.cuda(0).device_name
    assert environment.device not in ("", "cuda", cpu_name())
