"""A sketch has one number on every CPU: records and priors are of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm.ir import IRModule
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import prepare
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import resolve_target, vector_bits
from chameleon_tuner.search.cost import prior
from chameleon_tuner.space.task import NARROW, WIDE
from chameleon_tuner.testing.made import tiny_network
from chameleon_tuner.zoo.graph import Graph

CPUS = ["haswell", "znver3", "skylake-avx512", "znver4"]
"""Without AVX-512 and with it, of both makers."""

FLOATS = [
    *("conv2d", "depthwise", "dense", "matmul_of_primes", "softmax", "mean", "transpose"),
    *("max_pool", "scalar", "where"),
]


def sketches(space: TracedSpace) -> list[str]:
    """Their instructions, without decisions."""
    return [str(Trace(trace.insts, {})) for trace in space._generated.traces]


@pytest.mark.parametrize("name", FLOATS)
def test_kernels_have_the_same_sketches_in_the_same_order(
    kernels: dict[str, IRModule], name: str
) -> None:
    targets = [Target({"kind": "llvm", "mcpu": cpu, "num-cores": 2}) for cpu in CPUS]
    first, *others = (TracedSpace(kernels[name], target) for target in targets)
    for other in others:
        assert sketches(other) == sketches(first)
        assert other.design == first.design


def inverted_residual() -> onnx.ModelProto:
    graph = Graph("block", 0)
    x = graph.input("input", (1, 16, 128, 128))
    x = graph.relu(graph.conv(x, 96, kernel=1))
    x = graph.relu(graph.conv(x, 96, kernel=3, stride=2, padding=1, groups=96))
    return graph.model(graph.conv(x, 24, kernel=1))


MODELS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "winograd": tiny_network,
    "inverted_residual": inverted_residual,
}


def test_how_wide_their_vectors_are() -> None:
    targets = [resolve_target(f"llvm -mcpu={cpu}", 2) for cpu in CPUS]
    assert [vector_bits(target) for target in targets] == [NARROW, NARROW, WIDE, WIDE]
    without = resolve_target("llvm -mcpu=znver4 -mattr=-avx512f", 2)
    assert vector_bits(without) == NARROW


@pytest.mark.parametrize("name", MODELS)
def test_so_have_kernels_of_our_own_and_the_prior_knows_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(MODELS[name](), path)
    program, found = import_model(path), []
    for cpu in CPUS:
        target = resolve_target(f"llvm -mcpu={cpu} -num-cores=2", 2)
        network = prepare(program, target, 2)
        assert {task.vector_bits for task in network.tasks} == {vector_bits(target)}
        found.append({task.name: network.spaces[task.key] for task in network.tasks})
    first, *others = found
    mine = {key: space for key, space in first.items() if name in key}
    assert len(mine) > 0
    for space, bits in itertools.product(mine.values(), prior.SHIPPED):
        assert prior.shipped(space.design.feature_names, bits)
    for other in others:
        assert {key: sketches(space) for key, space in other.items()} == {
            key: sketches(space) for key, space in first.items()
        }


def test_a_cpu_without_the_instructions_has_the_sketches_that_tvm_gives_it(
    kernels: dict[str, IRModule],
) -> None:
    """What is added to the rules changes nothing, and what was decided is read back."""
    from tvm.s_tir import meta_schedule

    target = Target({"kind": "llvm", "mcpu": "haswell", "num-cores": 2})
    space = TracedSpace(kernels["conv2d"], target)
    plain = meta_schedule.TuneContext(
        mod=kernels["conv2d"], target=target, space_generator="post-order-apply", num_threads=1
    )
    theirs = [str(Trace(s.trace.insts, {})) for s in plain.generate_design_space()]
    assert sorted(theirs) == sorted(sketches(space))
    for configuration in space.design.configurations(
        space.design.sample(5, np.random.default_rng(0))
    ):
        assert space.replay(configuration).configuration == configuration
