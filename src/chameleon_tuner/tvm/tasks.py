"""The tuning tasks of a lowered module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import tvm
from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.analysis import estimate_tir_flops
from tvm.target import Target

from chameleon_tuner.task import Task
from chameleon_tuner.tvm.alternatives import Alternatives, Winograd
from chameleon_tuner.tvm.apply import OTHER
from chameleon_tuner.tvm.kernels import argument_shapes
from chameleon_tuner.tvm.lower import key_of, normalized
from chameleon_tuner.tvm.targets import as_json, vector_bits
from chameleon_tuner.tvm.traces import TracedSpace

_SPLIT = "_prepacked"
"""What `SplitLayoutRewritePreproc` appends."""


def extract_tasks(
    lowered: IRModule, target: Target, alternatives: Alternatives | None = None
) -> tuple[list[Task], dict[str, TracedSpace]]:
    """Every distinct kernel of a lowered module, and their spaces by the tasks' keys.

    Identical kernels are one task; its weight counts their calls.

    Args:
        lowered: its kernels.
        target: what it was lowered for.
        alternatives: from `alternatives_of`; each becomes a task beside its kernel's.
    """
    found: dict[str, tuple[str, IRModule, int]] = {}
    for extracted in meta_schedule.relax_integration.extract_tasks(lowered, target):
        module = extracted.dispatched[0]
        key = key_of(module)
        name, _, weight = found.get(key, (str(extracted.task_name), module, 0))
        found[key] = name, module, weight + int(extracted.weight)
    spaces = {key: TracedSpace(module, target) for key, (_, module, _) in found.items()}
    names = Counter[str]()
    tasks = []
    for key, (name, _, weight) in sorted(found.items(), key=lambda item: item[1][0]):
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}_{names[name]}"
        tasks.append(_task(unique, key, spaces[key], weight))
    others = _alternatives(tasks, target, alternatives or {})
    spaces |= {task.key: space for task, space in others}
    return [*tasks, *(task for task, _ in others)], spaces


def _alternatives(
    tasks: Sequence[Task], target: Target, alternatives: Alternatives
) -> list[tuple[Task, TracedSpace]]:
    """Tasks that compute kernels in other ways; those that TVM has no space for are left out."""
    kernels = {task.key: task for task in tasks}
    found: dict[str, tuple[Task, TracedSpace]] = {}
    for kernel_key, functions in alternatives.items():
        kernel = kernels[kernel_key]
        for function in functions:
            module, way = normalized(function), Winograd.of(function)
            key = key_of(module)
            if key in found or way is None:
                continue
            try:
                space = TracedSpace(module, target)
            except (ValueError, RuntimeError):  # what follows the convolution has another shape
                continue
            suffix = way.name.replace(" ", "")
            task = _task(f"{kernel.name}.{suffix}", key, space, kernel.weight)
            task = replace(task, flops=kernel.flops, algorithm=way.name, computes=kernel.key)
            found[key] = task, space
    return list(found.values())


def kernel_names(lowered: IRModule) -> dict[str, list[str]]:
    """What a library calls the kernels of a lowered module, by the keys of their tasks.

    Where a kernel's weight is re-laid out, TVM splits that off and gives the rest another name.
    """
    names: dict[str, list[str]] = {}
    for variable, function in lowered.functions.items():
        if isinstance(function, tvm.tirx.PrimFunc):
            mine = names.setdefault(key_of(normalized(function)), [])
            for name in (variable.name_hint, f"{variable.name_hint}{OTHER}"):
                mine += [name, f"{name}{_SPLIT}"]
    return names


def _task(name: str, key: str, space: TracedSpace, weight: int) -> Task:
    module = space.module
    return Task(
        name=name,
        key=key,
        module=str(tvm.ir.save_json(module)),
        target=as_json(space.target),
        space=space.design,
        weight=weight,
        flops=_flops(module),
        arguments=tuple(
            f"{'x'.join(map(str, shape)) or 'scalar'} {dtype}"
            for shape, dtype in argument_shapes(module, rewritten=False)
        ),
        vector_bits=vector_bits(space.target),
    )


def _flops(module: IRModule) -> float:
    try:
        return float(estimate_tir_flops(module))
    except Exception:  # what TVM cannot count is not arithmetic
        return 0.0
