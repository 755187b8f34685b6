"""Suites of tasks: the layers of the paper, the networks of the zoo, or any ONNX model."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from chameleon_tuner.core.errors import UsageError, hint
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import usable_cores
from chameleon_tuner.zoo import NETWORKS, build
from chameleon_tuner.zoo.layers import PAPER, SHOWN, ConvLayer

PAPER_SUITES = {
    "paper": PAPER,
    "paper-layers": tuple(layer for layer in PAPER if layer.name in SHOWN),
}
"""Convolution layers of the paper's networks, by name of the suite."""


def check_suite(suite: str) -> None:
    """Raise a `UsageError` if a suite does not exist, without loading anything.

    Raises:
        UsageError: The suite is neither a known name nor a file.
    """
    known = [*PAPER_SUITES, *NETWORKS]
    if suite in known or Path(suite).is_file():
        return
    raise UsageError(
        f"unknown suite {suite!r}; {hint(suite, known)}known: {', '.join(known)}, or the path of "
        "an ONNX file"
    )


def tasks_of(suite: str, target_text: str = "auto") -> list[Task]:
    """Return the tasks of a suite.

    Tasks of the paper are in the paper's order, those of a model in the order of `chameleon tasks`.

    Raises:
        UsageError: The suite is unknown.
        ModelError: The file is not a model.
        TargetError: This machine cannot run candidates for the target.
    """
    check_suite(suite)
    target_of(target_text)  # before a network of the zoo is made
    if suite in PAPER_SUITES:
        return [_layer_task(layer, target_text) for layer in PAPER_SUITES[suite]]
    with _model_file(suite) as path:
        tasks = _kernels(path, target_text)
    return sorted(tasks, key=lambda task: -task.weight * task.flops)


def target_of(text: str) -> dict[str, Any]:
    """Resolve a target to plain JSON; `auto` becomes this CPU under its LLVM name.

    Raises:
        TargetError: This machine cannot run candidates for the target.
    """
    from chameleon_tuner.backends.tvm import network, targets  # loads TVM

    return targets.as_json(network.open_target(text, usable_cores()))


def chosen(tasks: Sequence[Task], wanted: Sequence[str]) -> list[Task]:
    """Select tasks of a suite, in the suite's order.

    Args:
        tasks: Tasks of the suite.
        wanted: Names or numbers (from 1) of tasks; empty to select all tasks.

    Raises:
        UsageError: A task does not exist.
    """
    names = [task.name for task in tasks]
    numbers = {_position(text, names) for text in wanted} if wanted else range(len(tasks))
    return [tasks[number] for number in sorted(numbers)]


def _position(text: str, names: Sequence[str]) -> int:
    """Return the index of a task that is given by its name or its number, counted from 1."""
    if text in names:
        return names.index(text)
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    raise UsageError(f"no task {text!r} in this suite; its tasks: {listed}")


def _layer_task(layer: ConvLayer, target: str) -> Task:
    """Return the task of one convolution layer of the paper."""
    with _saved(layer.model()) as path:
        tasks = _kernels(path, target)
    convolution = max(tasks, key=lambda task: task.flops)  # the other tasks convert layouts
    return replace(convolution, name=layer.name, weight=layer.calls)


def _kernels(path: Path, target: str) -> Sequence[Task]:
    """Return the kernels of a model as the network has them: tuners search the same spaces."""
    from chameleon_tuner.backends.tvm.backend import TVMBackend

    backend = TVMBackend()
    names = [algorithm.name for algorithm in backend.algorithms]
    return backend.prepare(backend.read(path, target), without=names).tasks


@contextlib.contextmanager
def _model_file(suite: str) -> Iterator[Path]:
    """Yield a model file of a suite: the user's own file, or a temporary file from the zoo."""
    if suite not in NETWORKS:
        yield Path(suite)
    else:
        with _saved(build(suite)) as path:
            yield path


@contextlib.contextmanager
def _saved(model: onnx.ModelProto) -> Iterator[Path]:
    """Save a model to a temporary file, which is deleted on exit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        yield path
