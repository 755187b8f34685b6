"""A model made ready for the search: lowered, its tasks and their spaces extracted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import tvm
from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.analysis import estimate_tir_flops
from tvm.target import Target

from chameleon_tuner.backends.tvm.frontend.program import Program
from chameleon_tuner.backends.tvm.lower.graph import fuse, key_of, lay_out, normalized
from chameleon_tuner.backends.tvm.lower.kernel import (
    argument_shapes,
    device_of,
    is_gpu,
    weights_bytes,
)
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.rewrites.base import Alternatives, joined, loaded
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import as_json, resolve_target, vector_bits
from chameleon_tuner.core.errors import TargetError
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import last_level_cache_bytes

_MOST_CACHES = 2
"""Weights that fill the last-level cache twice are as cold as any."""


@dataclass(frozen=True)
class Network:
    """A model for a target, as kernels.

    Attributes:
        program: The model as imported.
        target: The target that it is tuned for.
        threads: Number of threads that kernels are tuned with.
        lowered: Its kernels, fused; none is scheduled.
        alternatives: Other functions that compute them.
        tasks: The distinct kernels, and the tasks of the alternatives.
        spaces: Their design spaces by the key of the task.
    """

    program: Program
    target: Target
    threads: int
    lowered: IRModule = field(repr=False)
    alternatives: Alternatives = field(repr=False)
    tasks: Sequence[Task] = field(repr=False)
    spaces: Mapping[str, TracedSpace] = field(repr=False)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights that a call of the network reads, as they are in the model."""
        kernels = (task for task in self.tasks if not task.computes)
        return sum(task.weight * weights_bytes(self.spaces[task.key].module) for task in kernels)

    @property
    def apart_bytes(self) -> int:
        """Bytes of weights that are read between two reads of the same; see `TimingPolicy`.

        0 on a GPU, where runs are timed by the device and nothing was measured with cold weights.
        """
        if is_gpu(self.target):
            return 0
        return min(self.weight_bytes, _MOST_CACHES * last_level_cache_bytes())


def open_target(text: str, threads: int) -> Target:
    """Return a target that candidates can be run for on this machine.

    Raises:
        TargetError: It is unknown, or this machine has no such device.
    """
    target = resolve_target(text, threads)
    if not device_of(target).exist:
        raise TargetError(
            f"this machine has no {target.kind.name} device to tune on; run the command on one "
            "that has, or use --target auto"
        )
    return target


def prepare(
    program: Program, target: Target, threads: int, without: Collection[str] = ()
) -> Network:
    """Lower a program and extract its tasks.

    Args:
        program: The model.
        target: The target that it is tuned for.
        threads: Number of threads that kernels are tuned with.
        without: Names of algorithms that are left out; see `rewrites.registered`.

    Returns:
        The network.
    """
    rewrites = list(loaded(without))
    laid_out = lay_out(program.module, target)
    lowered = fuse(laid_out, target)
    adding = [rewrite.alternatives for rewrite in rewrites if rewrite.alternatives is not None]
    alternatives = joined([add(laid_out, target, lowered) for add in adding])
    merged = lowered
    for rewrite in rewrites:
        if rewrite.merge is not None:
            merged = rewrite.merge(merged, target, threads)
    try:
        tasks, spaces = extract_tasks(merged, target, alternatives)
    except (ValueError, RuntimeError, IndexError):
        if merged is lowered:
            raise
        # What follows a convolution may be what no rule has seen: its parts have spaces.
        merged = lowered
        tasks, spaces = extract_tasks(merged, target, alternatives)
    return Network(program, target, threads, merged, alternatives, tasks, spaces)


def extract_tasks(
    lowered: IRModule, target: Target, alternatives: Alternatives | None = None
) -> tuple[list[Task], dict[str, TracedSpace]]:
    """Return a task for every distinct kernel of a lowered module, and the tasks' spaces.

    Identical kernels are one task, whose weight counts their calls.

    Args:
        lowered: The module.
        target: The target that it was lowered for.
        alternatives: Other functions for its kernels; each becomes a task beside the kernel's own.

    Returns:
        The tasks, and their spaces by the key of the task.
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
    """Return tasks of other algorithms; those that TVM has no space for are left out."""
    kernels = {task.key: task for task in tasks}
    found: dict[str, tuple[Task, TracedSpace]] = {}
    for kernel_key, others in alternatives.items():
        kernel = kernels.get(kernel_key)  # None where it was merged with others
        for other in others if kernel else ():
            if other.label.split()[0] not in registered():
                raise ValueError(f"{other.label!r} does not begin with an algorithm's name")
            module = normalized(other.function)
            key = key_of(module)
            if kernel is None or key in found or key in kernels:
                continue
            try:
                space = TracedSpace(module, target)
            except (ValueError, RuntimeError):  # what follows the operator has another shape
                continue
            name = f"{kernel.name}.{other.label.replace(' ', '')}"
            task = _task(name, key, space, kernel.weight)
            task = replace(task, flops=kernel.flops, algorithm=other.label, computes=kernel.key)
            found[key] = task, space
    return list(found.values())


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
