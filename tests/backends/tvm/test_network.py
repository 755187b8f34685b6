"""Tasks are the same whoever derives their design spaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import onnx
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.backend import HANDLER, TVMBackend
from chameleon_tuner.backends.tvm.frontend.program import Program, import_model
from chameleon_tuner.backends.tvm.network import (
    Network,
    apart_bytes_of,
    extract_tasks,
    open_target,
    prepare,
)
from chameleon_tuner.backends.tvm.space import traces
from chameleon_tuner.backends.tvm.space.traces import NoSpaceError
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.measure.local.designer import LocalDesigner
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.ports.backend import Designer
from chameleon_tuner.ports.handler import DeriveSpace, Handler
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.task import DIRECT, by_kernel
from chameleon_tuner.testing.made import tiny_network
from chameleon_tuner.zoo.graph import Graph

TARGET = open_target("auto", 2)


class Refusing:
    """A designer of which some kernels have no space."""

    def __init__(self, designer: Designer, refused: Collection[str]) -> None:
        self._designer, self._refused = designer, refused

    def designs(self, kernels: Iterable[DeriveSpace]) -> Sequence[DesignSpace | None]:
        asked = list(kernels)
        found = self._designer.designs(asked)
        return [
            None if kernel.key in self._refused else design
            for kernel, design in zip(asked, found, strict=True)
        ]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool[Handler]]:
    with WorkerPool(HANDLER, 2, {"TVM_NUM_THREADS": "2"}) as pool:
        yield pool


@pytest.fixture(scope="module")
def designer(pool: WorkerPool[Handler]) -> LocalDesigner:
    return LocalDesigner(pool)


def program_of(model: onnx.ModelProto, folder: Path) -> Program:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return import_model(path)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return program_of(tiny_network(), tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def network(program: Program) -> Network:
    """Its spaces were derived in this process."""
    return prepare(program, TARGET, 2)


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A network in which kernels are merged."""
    graph = Graph("block", 0)
    x = graph.input("input", (1, 16, 128, 128))
    x = graph.relu(graph.conv(x, 96, kernel=1))
    x = graph.relu(graph.conv(x, 96, kernel=3, stride=2, padding=1, groups=96))
    return program_of(graph.model(graph.conv(x, 24, kernel=1)), tmp_path_factory.mktemp("merging"))


def test_workers_derive_what_this_process_derives(
    network: Network, program: Program, designer: LocalDesigner
) -> None:
    told = prepare(program, TARGET, 2, designer=designer)
    assert list(told.tasks) == list(network.tasks)
    assert list(told.spaces) == list(network.spaces)
    assert {task.algorithm.split()[0] for task in told.tasks} >= {DIRECT, "winograd"}


def test_merged_kernels_are_derived_by_workers_too(
    merging: Program, designer: LocalDesigner
) -> None:
    here, told = prepare(merging, TARGET, 2), prepare(merging, TARGET, 2, designer=designer)
    assert list(told.tasks) == list(here.tasks)
    assert len(told.tasks) < len(prepare(merging, TARGET, 2, ["separable"]).tasks)


def test_nothing_is_generated_in_this_process_where_workers_derive(
    network: Network,
    program: Program,
    designer: LocalDesigner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.delattr(traces, "_generator")
        told = prepare(program, TARGET, 2, designer=designer)
    task = told.tasks[0]
    first = Configuration(0, (0,) * len(task.space.sketches[0].knobs))
    mine, theirs = told.spaces[task.key].replay(first), network.spaces[task.key].replay(first)
    assert mine.structural_hash == theirs.structural_hash
    assert mine.configuration == theirs.configuration


def test_a_kernel_without_a_space_is_no_task(
    network: Network, program: Program, designer: LocalDesigner
) -> None:
    """Nor are the alternatives for it, and those of other kernels keep their names."""
    key = next(key for key, mine in by_kernel(network.tasks).items() if len(mine) > 1)
    told = prepare(program, TARGET, 2, designer=Refusing(designer, [key]))
    assert len(told.tasks) < len(network.tasks)
    assert {task.key for task in told.tasks} == set(told.spaces)
    assert {task.key for task in told.tasks} == {
        task.key for task in network.tasks if key not in (task.key, task.computes)
    }


def test_an_alternative_without_a_space_is_left_out(
    network: Network, program: Program, designer: LocalDesigner
) -> None:
    other = next(task for task in network.tasks if task.computes)
    told = prepare(program, TARGET, 2, designer=Refusing(designer, [other.key]))
    assert list(told.tasks) == [task for task in network.tasks if task is not other]


def test_where_a_merged_kernel_has_no_space_nothing_is_merged(
    merging: Program, designer: LocalDesigner
) -> None:
    merged = prepare(merging, TARGET, 2)
    parts = prepare(merging, TARGET, 2, ["separable"])
    [key] = {task.key for task in merged.tasks} - {task.key for task in parts.tasks}
    told = prepare(merging, TARGET, 2, designer=Refusing(designer, [key]))
    assert [task.key for task in told.tasks] == [task.key for task in parts.tasks]


def test_a_space_that_every_kernel_has_to_have(network: Network, designer: LocalDesigner) -> None:
    refusing = Refusing(designer, [network.tasks[0].key])
    with pytest.raises(NoSpaceError, match=r"^there is no design space for \w+$"):
        extract_tasks(network.lowered, TARGET, designer=refusing, every=True)
    tasks, _ = extract_tasks(network.lowered, TARGET, designer=designer, every=True)
    assert [task.key for task in tasks] == [t.key for t in network.tasks if not t.computes]


def test_the_backend_hands_the_designer_on(tiny_onnx: Path, designer: LocalDesigner) -> None:
    backend = TVMBackend()
    source = backend.read(str(tiny_onnx))
    everything = backend.prepare(source).tasks
    refusing = Refusing(designer, [task.key for task in everything[1:]])
    assert list(backend.prepare(source, designer=refusing).tasks) == [everything[0]]


@pytest.mark.parametrize(
    ("weights", "apart"),
    [(0, 0), (499, 0), (500, 1000), (1999, 1000), (2000, 4000), (7999, 4000), (8000, 16000)],
)
def test_networks_of_about_one_size_are_timed_alike(weights: int, apart: int) -> None:
    assert apart_bytes_of(weights, 8000) == apart
    assert apart_bytes_of(weights + 1000 * 8000, 8000) == 2 * 8000
