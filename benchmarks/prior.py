"""Measure the layers that the cost model's prior is made of, and pack what was measured.

    python benchmarks/prior.py benchmarks/recordings/prior-256 [--trials 128] [--again 0]
        [--out prior.npz]

None of the layers is one of the paper's or of the zoo's networks: those are what comparisons are
made on. Each is measured with every algorithm that it has, for about a minute; what is there
already is not measured again. Half of the trials are random, so that the prior knows what is bad,
and half are what a search without a prior finds. With `--again` so many more are what a search with
the shipped prior and these records proposes, so that the prior knows what it was wrong about. At
the end models are fitted to all, which go into the package, in place of those for CPUs with vectors
as wide. The folder is of one width: 512 bits with AVX-512, 256 without.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean

import onnx

from chameleon_tuner.backends.tvm.backend import HANDLER
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.backends.tvm.targets import vector_bits
from chameleon_tuner.bench.compare.searching import Terms, searched
from chameleon_tuner.bench.recording import (
    Recording,
    history_of,
    read_recordings,
    recording_of,
    write_recordings,
)
from chameleon_tuner.measure.local.measurer import LocalMeasurer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.search.cost import prior
from chameleon_tuner.search.cost.base import TargetOptions
from chameleon_tuner.search.cost.shared import Lessons, SharedRecords
from chameleon_tuner.search.recipes import Recipe, resolve_recipe
from chameleon_tuner.space.task import Task, by_kernel
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores
from chameleon_tuner.zoo.graph import Graph, Shape, Tensor

AGAIN = ".again"

Body = Callable[[Graph, Tensor], Tensor]


def _conv(channels: int, kernel: int, stride: int = 1, relu: bool = True) -> Body:
    def body(graph: Graph, x: Tensor) -> Tensor:
        y = graph.conv(x, channels, kernel, stride, kernel // 2)
        return graph.relu(y) if relu else y

    return body


def _depthwise(kernel: int, stride: int = 1) -> Body:
    return lambda graph, x: graph.relu6(
        graph.conv(x, x.shape[1], kernel, stride, kernel // 2, groups=x.shape[1])
    )


def _separable(outputs: int, kernel: int = 3, stride: int = 1, widened: int = 0) -> Body:
    """A depthwise and a pointwise convolution; an inverted residual where it widens."""

    def body(graph: Graph, x: Tensor) -> Tensor:
        y = graph.relu6(graph.conv(x, widened, kernel=1)) if widened else x
        y = graph.conv(_depthwise(kernel, stride)(graph, y), outputs, kernel=1)
        return graph.add(y, x) if y.shape == x.shape else y

    return body


def _dense(units: int) -> Body:
    return lambda graph, x: graph.relu(graph.gemm(x, units))


def _matmul(units: int) -> Body:
    def body(graph: Graph, x: Tensor) -> Tensor:
        features = x.shape[-1]
        weight = graph.weight("w", (features, units), 1 / math.sqrt(features))
        y = graph.node("MatMul", (x, weight), (*x.shape[:-1], units))
        return graph.add(y, graph.weight("b", (units,), 0.1))

    return body


def _attention(heads: int) -> Body:
    def body(graph: Graph, x: Tensor) -> Tensor:
        _, tokens, width = x.shape
        shape = (1, tokens, heads, width // heads)
        split = graph.node("Reshape", (x, graph.constant("s", list(shape))), shape)
        axes = (0, 2, 1, 3), (0, 2, 3, 1)
        a, b = (
            graph.node("Transpose", (split,), tuple(shape[n] for n in perm), perm=list(perm))
            for perm in axes
        )
        return graph.scale("Div", graph.node("MatMul", (a, b), (1, heads, tokens, tokens)), 8.0)

    return body


def _image(channels: int, size: int) -> Shape:
    return (1, channels, size, size)


LAYERS: dict[str, tuple[Shape, Body]] = {
    # GoogLeNet, Inception, DenseNet, YOLO, U-Net and EfficientNet have such convolutions.
    "conv-28-96-208": (_image(96, 28), _conv(208, 3)),
    "pointwise-28-512-128": (_image(512, 28), _conv(128, 1)),
    "conv-14-160-320": (_image(160, 14), _conv(320, 3, relu=False)),
    "pointwise-14-1024-256": (_image(1024, 14), _conv(256, 1, relu=False)),
    "conv-7-192-384": (_image(192, 7), _conv(384, 3)),
    "conv-28-32-96-5": (_image(32, 28), _conv(96, 5)),
    "dense-1-2048-1024": ((1, 2048), _dense(1024)),
    "conv-149-32-64": (_image(32, 149), _conv(64, 3, relu=False)),
    "pointwise-56-256-512-s2": (_image(256, 56), _conv(512, 1, 2, relu=False)),
    "conv-192-3-32-s2": (_image(3, 192), _conv(32, 3, 2)),
    "matmul-64-256-1024": ((1, 64, 256), _matmul(1024)),
    "conv-80-128-128": (_image(128, 80), _conv(128, 3)),
    "pointwise-7-512-2048": (_image(512, 7), _conv(2048, 1)),
    "conv-40-256-256-s2": (_image(256, 40), _conv(256, 3, 2)),
    "attention-64-4": ((1, 64, 256), _attention(4)),
    "conv-35-64-96": (_image(64, 35), _conv(96, 3)),
    "depthwise-28-240-5": (_image(240, 28), _depthwise(5)),
    "conv-160-3-48-7-s2": (_image(3, 160), _conv(48, 7, 2, relu=False)),
    "pointwise-28-192-64": (_image(192, 28), _conv(64, 1)),
    "conv-128-64-64": (_image(64, 128), _conv(64, 3)),
    "dense-1-1024-512": ((1, 1024), _dense(512)),
    "dense-1-768-1000": ((1, 768), _dense(1000)),
    "conv-208-16-32": (_image(16, 208), _conv(32, 3)),
    "pointwise-19-576-96": (_image(576, 19), _conv(96, 1, relu=False)),
    "conv-14-512-512": (_image(512, 14), _conv(512, 3, 2)),
    "depthwise-14-480-s2": (_image(480, 14), _depthwise(3, 2)),
    "matmul-192-384-96": ((1, 192, 384), _matmul(96)),
    # MobileNet, MnasNet and EfficientNet have such blocks, which are one kernel on most machines:
    # their images do not stay in a core's cache of 1 MiB.
    "separable-112-32-64": (_image(32, 112), _separable(64)),
    "separable-56-128-128": (_image(128, 56), _separable(128)),
    "separable-28-256-256": (_image(256, 28), _separable(256)),
    "separable-14-512-512": (_image(512, 14), _separable(512)),
    "separable-40-120-40-5": (_image(120, 40), _separable(40, kernel=5)),
    "separable-160-72-24-s2": (_image(72, 160), _separable(24, stride=2)),
    "inverted-96-24-144": (_image(24, 96), _separable(24, widened=144)),
    "inverted-128-16-64-s2": (_image(16, 128), _separable(24, stride=2, widened=64)),
    "inverted-80-40-120": (_image(40, 80), _separable(40, widened=120)),
}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--again", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.folder.mkdir(exist_ok=True)
    bits = vector_bits(open_target("auto", usable_cores()))
    held = {recording.task.vector_bits for recording in _recorded(asked.folder)}
    if held - {bits}:
        parser.error(f"{asked.folder} is of another vector width than this CPU's, {bits} bits")
    for layer, (shape, body) in LAYERS.items():
        for task in _tasks(layer, shape, body):
            name = layer if not task.computes else f"{layer}-{task.algorithm.replace(' ', '-')}"
            first, again = (asked.folder / f"{name}{part}.jsonl.gz" for part in ("", AGAIN))
            if not first.exists():
                _write(first, _measured(task, _blank(asked.trials)))
            if asked.again and not again.exists():
                _write(again, _measured(task, _informed(first, asked.again)))
    if asked.again:
        print(f"the best of --again: {_gained(asked.folder):.3f} of the best before it")
    shipped = Path(prior.__file__).with_name(prior.SHIPPED[bits])
    prior.write(asked.out or shipped, prior.learn(map(history_of, _recorded(asked.folder))))


def _recorded(folder: Path) -> list[Recording]:
    """Each by itself: different kernels have the same name."""
    return [read_recordings([path])[0] for path in sorted(folder.glob("*.jsonl.gz"))]


def _gained(folder: Path) -> float:
    """Geomean over the layers."""
    pairs = [
        [
            read_recordings([folder / name])[0]
            for name in (again.name, again.name.replace(AGAIN, ""))
        ]
        for again in folder.glob(f"*{AGAIN}.jsonl.gz")
    ]
    return geometric_mean(_best_secs(after) / _best_secs(before) for after, before in pairs)


def _best_secs(recording: Recording) -> float:
    return min(outcome.seconds for outcome in recording.outcomes)


def _write(path: Path, recording: Recording) -> None:
    write_recordings(path, [recording])
    best_us = 1e6 * _best_secs(recording)
    name = path.name.removesuffix(".jsonl.gz")
    print(f"{name}: {len(recording.outcomes)} configurations, {best_us:.1f} us", flush=True)


def _tasks(name: str, shape: Shape, body: Body) -> list[Task]:
    """The tasks of a layer: its own, and those that compute it in other ways."""
    graph, threads = Graph(name, seed=0), usable_cores()
    model = graph.model(body(graph, graph.input("input", shape)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        onnx.save(model, path)
        program, target = import_model(path), open_target("auto", threads)
        tasks = prepare(program, target, threads).tasks
    return max(by_kernel(tasks).values(), key=lambda mine: mine[0].flops)


def _blank(trials: int) -> list[tuple[Recipe, int]]:
    """Searches of a layer of which nothing is known, with their trials."""
    return [(resolve_recipe(name), trials // 2) for name in ("random", "chameleon-cold")]


def _informed(path: Path, trials: int) -> list[tuple[Recipe, int]]:
    """A search that knows what is recorded as it would know a task of the same space.

    It measures the fastest of them again: the machine may be quicker now, or slower.
    """
    recipe, shared = resolve_recipe("chameleon"), SharedRecords()
    [recording] = read_recordings([path])
    shared.join(Lessons(history_of(recording), TargetOptions()))
    informed = replace(
        recipe,
        explorer=lambda _: recipe.explorer(shared),
        surrogate=lambda task, _: recipe.surrogate(task, shared),
    )
    return [(informed, trials)]


def _measured(task: Task, searches: list[tuple[Recipe, int]]) -> Recording:
    threads, logs = usable_cores(), []
    with WorkerPool(HANDLER, threads, thread_environment(threads)) as pool:
        for seed, (recipe, trials) in enumerate(searches):  # with the same they would begin alike
            clock, terms = Stopwatch(), Terms(recipe.name, seed, trials)
            measurer = LocalMeasurer(pool, clock=clock)
            logs.append(searched(task, recipe, terms, measurer, clock, lambda log: None))
    return recording_of(task, logs, machine=cpu_name(), threads=threads, versions={})


if __name__ == "__main__":
    main()
