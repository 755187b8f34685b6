"""Suites: named sets of tasks, and the tasks of any model."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from chameleon_tuner.errors import UsageError
from chameleon_tuner.machine import usable_cores
from chameleon_tuner.names import hint
from chameleon_tuner.task import Task
from chameleon_tuner.zoo import NETWORKS, build
from chameleon_tuner.zoo.layers import PAPER, SHOWN, ConvLayer

if TYPE_CHECKING:
    from tvm.target import Target

PAPER_SUITES = {
    "paper": PAPER,
    "paper-layers": tuple(layer for layer in PAPER if layer.name in SHOWN),
}


def check_suite(suite: str) -> None:
    """Make sure that there is such a suite; loads nothing.

    Raises:
        UsageError: it is neither a name nor a file.
    """
    known = [*PAPER_SUITES, *NETWORKS]
    if suite in known or Path(suite).is_file():
        return
    raise UsageError(
        f"unknown suite {suite!r}; {hint(suite, known)}known: {', '.join(known)}, or the path of "
        "an ONNX file"
    )


def tasks_of(suite: str, target_text: str = "auto") -> list[Task]:
    """The tasks of a suite: the paper's in its order, a model's as `chameleon tasks` lists them.

    Raises:
        UsageError: it is unknown.
        ModelError: a file is no model.
        TargetError: candidates of the target cannot be run here.
    """
    check_suite(suite)
    from chameleon_tuner.tvm import frontend, prepare  # loads TVM

    target = prepare.open_target(target_text, usable_cores())
    if suite in PAPER_SUITES:
        return [_layer_task(layer, target) for layer in PAPER_SUITES[suite]]
    with _model_file(suite) as path:
        program = frontend.import_model(path, None)
    tasks = prepare.prepare(program, target, usable_cores()).tasks
    return sorted(tasks, key=lambda task: -task.weight * task.flops)


def target_of(text: str) -> dict[str, Any]:
    """A target as plain JSON, this CPU by LLVM's name of it for `auto`.

    Raises:
        TargetError: candidates of the target cannot be run here.
    """
    from chameleon_tuner.tvm import prepare, targets  # loads TVM

    return targets.as_json(prepare.open_target(text, usable_cores()))


def chosen(tasks: Sequence[Task], wanted: Sequence[str]) -> list[Task]:
    """Some of the tasks, in the suite's order: by name or by number, from 1; all for none.

    Raises:
        UsageError: there is no such task.
    """
    names = [task.name for task in tasks]
    numbers = {_position(text, names) for text in wanted} if wanted else range(len(tasks))
    return [tasks[number] for number in sorted(numbers)]


def _position(text: str, names: Sequence[str]) -> int:
    if text in names:
        return names.index(text)
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    raise UsageError(f"no task {text!r} in this suite; its tasks: {listed}")


def _layer_task(layer: ConvLayer, target: Target) -> Task:
    from chameleon_tuner.tvm import frontend, prepare

    with _saved(layer.model()) as path:
        program = frontend.import_model(path, None)
    tasks = prepare.prepare(program, target, usable_cores()).tasks
    convolution = max(tasks, key=lambda task: task.flops)  # beside it: its layouts
    return replace(convolution, name=layer.name, weight=layer.calls)


@contextlib.contextmanager
def _model_file(suite: str) -> Iterator[Path]:
    """A suite's model as a file: the user's own, or one of the zoo for a while."""
    if suite not in NETWORKS:
        yield Path(suite)
    else:
        with _saved(build(suite)) as path:
            yield path


@contextlib.contextmanager
def _saved(model: onnx.ModelProto) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        yield path
