"""A model made ready for the search: imported, lowered, its tasks extracted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.errors import TargetError
from chameleon_tuner.machine import core_cache_bytes, last_level_cache_bytes
from chameleon_tuner.task import Task
from chameleon_tuner.tvm.alternatives import Alternatives, alternatives_of
from chameleon_tuner.tvm.frontend import Program
from chameleon_tuner.tvm.kernels import device_of, is_gpu, weights_bytes
from chameleon_tuner.tvm.lower import fuse, lay_out
from chameleon_tuner.tvm.separable.chains import Caches
from chameleon_tuner.tvm.separable.merge import merge_separable
from chameleon_tuner.tvm.targets import resolve_target
from chameleon_tuner.tvm.tasks import extract_tasks
from chameleon_tuner.tvm.traces import TracedSpace

_MOST_CACHES = 2
"""Weights that fill the last cache twice are as cold as any."""


@dataclass(frozen=True)
class Network:
    """A model for a target, as kernels.

    Attributes:
        program: the model as imported.
        target: what it is tuned for.
        threads: that kernels are tuned with.
        lowered: its kernels, fused; none is scheduled.
        alternatives: other functions that compute them.
        tasks: the distinct ones, and those of the alternatives.
        spaces: their traces, by the tasks' keys.
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
        """Of all weights that a call of the network reads, as they are in the model."""
        kernels = (task for task in self.tasks if not task.computes)
        return sum(task.weight * weights_bytes(self.spaces[task.key].module) for task in kernels)

    @property
    def apart_bytes(self) -> int:
        """Of weights that are read between two reads of the same; see `TimingPolicy`.

        0 on a GPU: there runs are timed by the device, and nothing was measured with cold weights.
        """
        if is_gpu(self.target):
            return 0
        return min(self.weight_bytes, _MOST_CACHES * last_level_cache_bytes())


def open_target(text: str, threads: int) -> Target:
    """A target that candidates can be run for on this machine.

    Raises:
        TargetError: it is unknown, or this machine has no such device.
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
    *,
    separable: bool = False,
    winograd: bool = False,
) -> Network:
    """Lower a program and extract its tasks.

    Args:
        program: a model.
        target: what it is tuned for.
        threads: that kernels are tuned with.
        separable: whether depthwise convolutions and what is around them may be one kernel; see
            `tvm/separable`.
        winograd: whether there are tasks that compute 3x3 convolutions by minimal filtering,
            beside those of the convolutions as they are.
    """
    laid_out = lay_out(program.module, target)
    lowered = fuse(laid_out, target)
    alternatives = alternatives_of(laid_out, target, lowered) if winograd else {}
    merged = lowered
    if separable and not is_gpu(target):
        merged = merge_separable(lowered, Caches(core_cache_bytes(), threads))
    try:
        tasks, spaces = extract_tasks(merged, target, alternatives)
    except (ValueError, RuntimeError, IndexError):
        if merged is lowered:
            raise
        # What follows a convolution may be what no rule has seen: its parts have spaces.
        merged = lowered
        tasks, spaces = extract_tasks(merged, target, alternatives)
    return Network(program, target, threads, merged, alternatives, tasks, spaces)
