"""Made-up records and small ONNX models, to try stores and imports with."""

from __future__ import annotations

import itertools
from dataclasses import replace

import onnx
from onnx import TensorProto, helper

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import Environment, RunInfo, Workload
from chameleon_tuner.zoo.graph import IR_VERSION, LINEAR_GAIN, OPSET, Graph

RUN = RunInfo("sha256:00ff", "chameleon", 7, {"trials": 100, "targets": ["llvm"]})
WORKLOAD = Workload("8f3a", "conv2d_relu", '{"nodes": []}')
ENVIRONMENT = Environment('{"kind": "llvm"}', "some cpu", 2, {"tvm": "0.27.0", "llvm": "18"})

_numbers = itertools.count()


def new_workload() -> Workload:
    """Return a workload that no test has used yet."""
    return replace(WORKLOAD, hash=f"workload-{next(_numbers)}")


def make_outcome(number: int, **changes: object) -> Outcome:
    """Return the outcome of configuration `number`, with a module of its own.

    Args:
        number: Number of the configuration.
        changes: Fields of the outcome to replace.
    """
    configuration = Configuration(0, (number, 1))
    samples = (1e-3 + number * 1e-7, 1.1e-3)
    outcome = Outcome(configuration, configuration, f"module-{number}", Status.OK, samples)
    return replace(outcome, **changes)  # type: ignore[arg-type]


def in_world(proposed: Configuration, measured: int) -> Outcome:
    """Return the outcome of a deterministic compiler and a noisy timer.

    The proposed configuration determines the configuration that is read back, and that one
    determines the module. Both mappings are many to one.

    Args:
        proposed: The proposed configuration.
        measured: Number that stands for the noise of the timer.
    """
    ran = Configuration(proposed.sketch, tuple(min(index, 2) for index in proposed.indices))
    return make_outcome(
        measured, configuration=ran, proposed=proposed, structural_hash=f"{sum(ran.indices)}"
    )


TINY_SHAPE = (1, 3, 64, 64)
"""The shape of the input of `tiny_network`."""


def tiny_network(seed: int = 0) -> onnx.ModelProto:
    """Build a residual network of three convolutions with 1.5 million multiply-adds.

    Args:
        seed: Seed of the weights.

    Returns:
        A model from "input", float32 (1, 3, 64, 64), to "output", float32 (1, 10).
    """
    graph = Graph("tiny", seed)
    x = graph.input("input", TINY_SHAPE)
    x = graph.relu(graph.conv(x, 16, kernel=3, stride=2, padding=1))
    shortcut = graph.max_pool(x, kernel=3, stride=2, padding=1)
    y = graph.relu(graph.conv(shortcut, 16, kernel=3, padding=1))
    y = graph.add(graph.conv(y, 16, kernel=3, padding=1, gain=LINEAR_GAIN), shortcut)
    x = graph.flatten(graph.global_average_pool(graph.relu(y)))
    return graph.model(graph.gemm(x, 10, gain=LINEAR_GAIN))


def open_batch(seed: int = 0) -> onnx.ModelProto:
    """Build `tiny_network` with a batch dimension "batch" that has no fixed size."""
    model = tiny_network(seed)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def unknown_operator(name: str = "Grizzly") -> onnx.ModelProto:
    """Build a model with an operator that does not exist."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in ("x", "y")]
    node = helper.make_node(name, ["x"], ["y"])
    graph = helper.make_graph([node], "unknown", values[:1], values[1:])
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
