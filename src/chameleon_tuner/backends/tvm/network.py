"""A model made ready for the search: lowered, its tasks and their spaces extracted."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

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
    weights_bytes,
)
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.rewrites.base import Alternatives, joined, loaded
from chameleon_tuner.backends.tvm.space.traces import NoSpaceError, TracedSpace
from chameleon_tuner.backends.tvm.targets import as_json, is_gpu, resolve_target, vector_bits
from chameleon_tuner.core.errors import TargetError
from chameleon_tuner.ports.backend import Designer
from chameleon_tuner.ports.handler import DeriveSpace
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import last_level_cache_bytes

_COLD = ((1.0, 2.0), (1 / 4, 1 / 2), (1 / 16, 1 / 8))
"""Steps of coldness: from so many last-level caches of weights on, so many caches are read between
two reads of the same. Weights that fill the cache twice are as cold as any. Networks of about the
same size are timed alike, so that they share their records."""


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
        return apart_bytes_of(self.weight_bytes, last_level_cache_bytes())


def apart_bytes_of(weight_bytes: int, cache_bytes: int) -> int:
    """Return the step of coldness, in bytes, that is nearest to a network's weights.

    Args:
        weight_bytes: Bytes of all weights of the network.
        cache_bytes: Bytes of the last-level cache.
    """
    steps = (read for least, read in _COLD if weight_bytes >= least * cache_bytes)
    return int(next(steps, 0.0) * cache_bytes)


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
    program: Program,
    target: Target,
    threads: int,
    without: Collection[str] = (),
    designer: Designer | None = None,
) -> Network:
    """Lower a program and extract its tasks.

    Args:
        program: The model.
        target: The target that it is tuned for.
        threads: Number of threads that kernels are tuned with.
        without: Names of algorithms that are left out; see `rewrites.registered`.
        designer: Derives the design spaces; without it this process does.

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
    extracted = partial(extract_tasks, target=target, alternatives=alternatives, designer=designer)
    try:
        tasks, spaces = extracted(merged, every=merged is not lowered)
    except (ValueError, RuntimeError, IndexError):
        # What follows a convolution may be what no rule has seen: its parts have spaces.
        merged = lowered
        tasks, spaces = extracted(merged)
    return Network(program, target, threads, merged, alternatives, tasks, spaces)


@dataclass(frozen=True)
class _Kernel:
    """A kernel that may become a task.

    Attributes:
        key: Its structural hash.
        module: The module with the kernel alone.
        name: The compiler's name for it, or the label of an alternative.
        weight: How often the network calls it.
        computes: See `Task.computes`.
    """

    key: str
    module: IRModule
    name: str
    weight: int = 0
    computes: str = ""

    @cached_property
    def text(self) -> str:
        """The module's JSON."""
        return str(tvm.ir.save_json(self.module))


def extract_tasks(
    lowered: IRModule,
    target: Target,
    alternatives: Alternatives | None = None,
    designer: Designer | None = None,
    *,
    every: bool = False,
) -> tuple[list[Task], dict[str, TracedSpace]]:
    """Return a task for every distinct kernel of a lowered module, and the tasks' spaces.

    Identical kernels are one task, whose weight counts their calls.

    Args:
        lowered: The module.
        target: The target that it was lowered for.
        alternatives: Other functions for its kernels; each becomes a task beside the kernel's own.
        designer: Derives the design spaces; without it this process does.
        every: Whether every kernel has to have a space; otherwise one without it is no task.

    Returns:
        The tasks, and their spaces by the key of the task.

    Raises:
        NoSpaceError: A kernel that has to have a space has none.
    """
    kernels = _kernels(lowered, target)
    others = _others(kernels, alternatives or {})
    spaces = _spaces([*kernels.values(), *others], target, designer)
    if every and (missing := [kernel.name for key, kernel in kernels.items() if key not in spaces]):
        raise NoSpaceError(f"there is no design space for {missing[0]}")
    tasks, bits = dict[str, Task](), vector_bits(target)
    for name, kernel in _named(kernel for key, kernel in kernels.items() if key in spaces):
        tasks[kernel.key] = _task(name, kernel, spaces[kernel.key], bits)
    for other in others:
        if other.computes in tasks and other.key in spaces and other.key not in tasks:
            tasks[other.key] = _alternative(other, spaces[other.key], tasks[other.computes])
    return list(tasks.values()), {key: spaces[key] for key in tasks}


def _kernels(lowered: IRModule, target: Target) -> dict[str, _Kernel]:
    """Return the distinct kernels of a lowered module by key."""
    found: dict[str, _Kernel] = {}
    for extracted in meta_schedule.relax_integration.extract_tasks(lowered, target):
        module = extracted.dispatched[0]
        key = key_of(module)
        before = found.get(key, _Kernel(key, module, str(extracted.task_name)))
        found[key] = replace(before, module=module, weight=before.weight + int(extracted.weight))
    return found


def _others(kernels: Collection[str], alternatives: Alternatives) -> list[_Kernel]:
    """Return alternatives for kernels, which are given by key; others were merged."""
    found = []
    for computes in alternatives:
        for other in alternatives[computes] if computes in kernels else ():
            if other.label.split()[0] not in registered():
                raise ValueError(f"{other.label!r} does not begin with an algorithm's name")
            module = normalized(other.function)
            found.append(_Kernel(key_of(module), module, other.label, computes=computes))
    return found


def _named(kernels: Iterable[_Kernel]) -> Iterator[tuple[str, _Kernel]]:
    """Yield kernels in the order of their names, with these made unique."""
    used = Counter[str]()
    for kernel in sorted(kernels, key=lambda kernel: kernel.name):
        used[kernel.name] += 1
        number = used[kernel.name]
        yield kernel.name if number == 1 else f"{kernel.name}_{number}", kernel


def _spaces(
    kernels: Iterable[_Kernel], target: Target, designer: Designer | None
) -> dict[str, TracedSpace]:
    """Return the spaces of the kernels that have one, by key."""
    distinct = list({kernel.key: kernel for kernel in kernels}.values())
    if designer is None:
        return dict(_derived(distinct, target))
    plain = dict(as_json(target))
    designs = designer.designs(DeriveSpace(kernel.key, kernel.text, plain) for kernel in distinct)
    return {
        kernel.key: TracedSpace(kernel.module, target, design)
        for kernel, design in zip(distinct, designs, strict=True)
        if design is not None
    }


def _derived(kernels: Iterable[_Kernel], target: Target) -> Iterator[tuple[str, TracedSpace]]:
    """Yield the spaces of the kernels that have one, derived in this process."""
    for kernel in kernels:
        with contextlib.suppress(NoSpaceError):
            yield kernel.key, TracedSpace(kernel.module, target)


def _task(name: str, kernel: _Kernel, space: TracedSpace, bits: int) -> Task:
    return Task(
        name=name,
        key=kernel.key,
        module=kernel.text,
        target=as_json(space.target),
        space=space.design,
        weight=kernel.weight,
        flops=_flops(kernel.module),
        arguments=tuple(
            f"{'x'.join(map(str, shape)) or 'scalar'} {dtype}"
            for shape, dtype in argument_shapes(kernel.module, rewritten=False)
        ),
        vector_bits=bits,
    )


def single_task(name: str, space: TracedSpace) -> Task:
    """Return the task of a kernel that is no part of a network.

    Args:
        name: Its name.
        space: Its space.
    """
    kernel = _Kernel(key_of(space.module), space.module, name)
    return _task(name, kernel, space, vector_bits(space.target))


def _alternative(other: _Kernel, space: TracedSpace, kernel: Task) -> Task:
    """Return the task of an alternative for the kernel of another task."""
    name = f"{kernel.name}.{other.name.replace(' ', '')}"
    return replace(
        _task(name, other, space, kernel.vector_bits),
        weight=kernel.weight,
        flops=kernel.flops,
        algorithm=other.name,
        computes=kernel.key,
    )


def _flops(module: IRModule) -> float:
    try:
        return float(estimate_tir_flops(module))
    except Exception:  # what TVM cannot count is not arithmetic
        return 0.0
