from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import pytest

from chameleon_tuner.backends.tvm.deploy.build import (
    RECORDS,
    WORKLOADS,
    apply_winners,
    build_libraries,
    kernel_names,
)
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.lower.graph import finish, untuned
from chameleon_tuner.backends.tvm.network import Network, open_target, prepare
from chameleon_tuner.backends.tvm.rewrites.base import transforms_of
from chameleon_tuner.backends.tvm.rewrites.winograd.kernel import transformed_weights
from chameleon_tuner.backends.tvm.rewrites.winograd.rewrite import REWRITE
from chameleon_tuner.backends.tvm.run.handler import TVMHandler
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.handler import RejectedError
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.search.cost import prior
from chameleon_tuner.space.task import DIRECT, Task, by_kernel
from chameleon_tuner.testing.made import tiny_network
from chameleon_tuner.zoo.graph import Graph

import tvm  # isort: skip
from tvm import relax  # isort: skip
from tvm.s_tir import meta_schedule  # isort: skip


OTHERS = ("separable",)
"""Algorithms that are left out."""


def prepared(model: onnx.ModelProto, folder: Path, without: Collection[str] = OTHERS) -> Network:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return prepare(import_model(path), open_target("auto", 2), 2, without)


def convolution(size: int, inputs: int, outputs: int, **options: int) -> onnx.ModelProto:
    graph = Graph("one", 0)
    x = graph.input("input", (1, inputs, size, size))
    return graph.model(graph.conv(x, outputs, **options))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return prepared(tiny_network(), tmp_path_factory.mktemp("model"))


def finalist(network: Network, task: Task) -> Finalist:
    space, rng = network.spaces[task.key], np.random.default_rng(0)
    for configuration in space.design.configurations(space.design.sample(50, rng)):
        try:
            space.replay(configuration)
        except RejectedError:
            continue
        return Finalist(task, configuration)
    raise AssertionError("nothing can be scheduled")


def outputs(compiled: object, x: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(compiled.executable, tvm.cpu())
    return machine["main"](tvm.runtime.tensor(x), *compiled.weights).numpy()


def test_every_convolution_of_the_kind_has_two_more_tasks(network: Network) -> None:
    kernels = by_kernel(network.tasks)
    filtered = {key: mine for key, mine in kernels.items() if len(mine) > 1}
    assert len(filtered) == 2  # the third has stride 2
    for key, mine in filtered.items():
        assert [task.algorithm for task in mine] == [DIRECT, "winograd 2x2", "winograd 4x4"]
        assert mine[0].key == key
        assert {(task.weight, task.flops) for task in mine} == {(mine[0].weight, mine[0].flops)}
    names = [task.name for task in network.tasks]
    assert len(set(names)) == len(names)
    assert {task.key for task in network.tasks} == set(network.spaces)


def test_something_is_known_of_them_before_they_are_measured(network: Network) -> None:
    others = [task for task in network.tasks if task.computes]
    assert others
    for task, bits in itertools.product(others, prior.SHIPPED):
        assert prior.shipped(task.space.feature_names, bits)


def test_weights_count_once_for_every_call(network: Network) -> None:
    convolutions = (3 * 3 * 3 * 16 + 16) + 2 * (3 * 3 * 16 * 16 + 16)
    assert network.weight_bytes == 4 * (convolutions + 16 * 10 + 10)


def test_without_them_the_tasks_are_the_kernels(network: Network, tmp_path: Path) -> None:
    plain = prepared(tiny_network(), tmp_path, (*OTHERS, "winograd"))
    assert [task.key for task in plain.tasks] == list(by_kernel(network.tasks))


@pytest.mark.parametrize(
    "model",
    [
        convolution(8, 16, 16, kernel=3, padding=1, stride=2),
        convolution(8, 16, 16, kernel=1),
        convolution(8, 16, 16, kernel=5, padding=2),
        convolution(8, 16, 16, kernel=3, padding=1, groups=16),
        convolution(8, 3, 16, kernel=3, padding=1),
    ],
    ids=["stride", "1x1", "5x5", "depthwise", "few channels"],
)
def test_others_have_none(model: onnx.ModelProto, tmp_path: Path) -> None:
    assert all(not task.computes for task in prepared(model, tmp_path).tasks)


def test_weights_that_are_not_known_are_not_transformed() -> None:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([1, 16, 8, 8], "float32"))
    w = relax.Var("w", relax.TensorType([16, 16, 3, 3], "float32"))
    with builder.function("main", [x, w]):
        with builder.dataflow():
            y = builder.emit_output(builder.emit(relax.op.nn.conv2d(x, w, padding=1)))
        builder.emit_func_output(y)
    network = prepare(import_model(builder.get()), open_target("auto", 2), 2, OTHERS)
    assert all(not task.computes for task in network.tasks)


def two_of_a_kind() -> onnx.ModelProto:
    """Two calls of one kernel with different weights, and a convolution that fuses with nothing."""
    graph = Graph("two", 0)
    x = graph.input("input", (2, 16, 9, 9))
    for _ in range(2):
        x = graph.relu(graph.conv(x, 16, kernel=3, padding=1))
    weight = graph.weight("alone", (16, 16, 3, 3), 0.1)
    options = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [0, 0, 0, 0]}
    return graph.model(graph.node("Conv", (x, weight), (2, 16, 7, 7), **options))


def test_calls_keep_their_weights_and_nothing_unused_is_left(tmp_path: Path) -> None:
    network = prepared(two_of_a_kind(), tmp_path)
    kernels = by_kernel(network.tasks)
    filtered = {key: mine for key, mine in kernels.items() if len(mine) > 1}
    assert sorted(mine[0].weight for mine in filtered.values()) == [1, 2]
    winners = {key: finalist(network, mine[2]) for key, mine in filtered.items()}
    chosen = apply_winners(network.lowered, network.alternatives, network.spaces, winners)
    compiled = finish(chosen, network.target)
    x = np.random.default_rng(1).random((2, 16, 9, 9), dtype=np.float32)
    found = outputs(compiled, x)
    wanted = outputs(untuned(network.program.module, network.target), x)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert "weight_prepack" not in compiled.executable.as_text()


def test_there_are_none_for_a_gpu(network: Network) -> None:
    cuda = resolve_target("cuda -arch=sm_90", 2)
    assert REWRITE.alternatives is not None
    assert REWRITE.alternatives(network.program.module, cuda, network.lowered) == {}


@pytest.mark.parametrize("position", [1, 2])
def test_a_finalist_is_compared_on_its_own_weights(network: Network, position: int) -> None:
    mine = next(mine for mine in by_kernel(network.tasks).values() if len(mine) > 1)
    handler = TVMHandler()
    for task in mine:
        handler.tasks.load_task(task.key, task.module, dict(task.target))
    candidate = finalist(network, mine[position])
    finalists = [(candidate.task.key, candidate.configuration)]
    handler.finals.ready(mine[0].key, finalists)
    handler.finals.contend(rounds=1, round_secs=0.0005)
    _, judged = handler.finals.judge()
    assert judged.message == ""
    assert judged.error < 1e-5


@pytest.mark.parametrize("position", [1, 2])
def test_a_network_of_alternatives_computes_the_same(network: Network, position: int) -> None:
    winners = {
        key: finalist(network, mine[position])
        for key, mine in by_kernel(network.tasks).items()
        if len(mine) > 1
    }
    chosen = apply_winners(network.lowered, network.alternatives, network.spaces, winners)
    x = np.random.default_rng(1).random((1, 3, 64, 64), dtype=np.float32)
    found = outputs(finish(chosen, network.target), x)
    wanted = outputs(untuned(network.program.module, network.target), x)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    known = {name for names in kernel_names(network.lowered).values() for name in names}
    made = {v.name_hint for v, f in chosen.functions.items() if isinstance(f, tvm.tirx.PrimFunc)}
    assert made <= known
    assert sum(name.endswith("_winograd") for name in made) == len(winners)


def test_a_library_of_alternatives_runs_and_their_schedules_are_exported(
    network: Network, tmp_path: Path
) -> None:
    winners = {
        key: Winner(finalist(network, mine[2]), 1e-3)
        for key, mine in by_kernel(network.tasks).items()
        if len(mine) > 1
    }
    build_libraries([network], winners, tmp_path)
    library = Library(tmp_path)
    (found,) = library(library.random_inputs(0)).values()
    assert np.isfinite(found).all()
    database = meta_schedule.database.JSONDatabase(
        str(tmp_path / WORKLOADS), str(tmp_path / RECORDS)
    )
    records = database.get_all_tuning_records()
    assert len(records) == len(winners)
    assert all(transforms_of(record.workload.mod["main"]) for record in records)


def test_what_is_marked_is_known_again(network: Network) -> None:
    weights = np.random.default_rng(0).random((3, 3, 16, 16), dtype=np.float32)
    for others in network.alternatives.values():
        assert [other.label for other in others] == ["winograd 2x2", "winograd 4x4"]
        for other, tile in zip(others, (2, 4), strict=True):
            [(number, transform)] = transforms_of(other.function).items()
            assert number == 1
            assert np.array_equal(transform(weights), transformed_weights(weights, tile))
    spaces = [network.spaces[task.key] for task in network.tasks]
    assert all(transforms_of(space.module["main"]) for space in spaces[-2:])
    assert not transforms_of(spaces[0].module["main"])
