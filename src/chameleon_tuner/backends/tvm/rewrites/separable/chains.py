"""The search for calls of kernels that make up a depthwise separable convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tvm import relax
from tvm.ir import IRModule
from tvm.s_tir import Schedule

from chameleon_tuner.backends.tvm.lower.graph import is_kernel_call, normalized
from chameleon_tuner.backends.tvm.lower.kernel import shape_bytes

_PADDING, _GROUPED = "pad_temp", "group_conv2d_nhwc"
_CONVOLUTIONS = ("conv2d_nhwc", _GROUPED)
"""TVM's names of the blocks of a convolution; a number may follow."""


class Kind(Enum):
    """What a kernel computes: a pointwise or a depthwise convolution, or anything else."""

    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    OTHER = "other"


@dataclass(frozen=True)
class Caches:
    """The caches in which the output of a kernel may stay until the next kernel reads it.

    Attributes:
        core_bytes: Size of a core's own cache in bytes.
        cores: Number of cores that kernels run on.
        held: Share of a core's cache that still holds the output of a kernel when the next kernel
            reads it. Measured on 2 cores with 1 MiB each: MobileNet-V2 took 0.91 of its time with a
            share of 1, which merges three chains, and 0.87 with 1/4, which merges twelve (25 rounds
            of `benchmarks/beside.py`).
    """

    core_bytes: int
    cores: int
    held: float = 1 / 4


Chain = Sequence[Any]
"""Bindings of calls that follow one another: a depthwise and a pointwise convolution, or also a
pointwise one before them. Each call is the only reader of the output of the call before it."""


def chains_of(module: IRModule, block: relax.DataflowBlock, caches: Caches) -> list[Chain]:
    """Find the chains of calls that are worth merging into one kernel; no call is in two chains.

    The merged kernel computes some rows at a time. At the edges of these it computes rows of the
    widened image twice, 7% in MobileNet-V2's second block. So the pointwise convolution before the
    depthwise one is merged only if the caches of all cores together do not hold the widened image.
    No row of the depthwise convolution's output is computed twice; without the convolution before
    it, the chain is merged if a share of one core's cache (`Caches.held`) does not hold this
    output.

    Args:
        module: A lowered module.
        block: A block of its `main`.
        caches: The caches of the machine.

    Returns:
        The chains.
    """
    calls = {binding.var: binding for binding in block.bindings if is_kernel_call(binding.value)}
    called = {call.value.args[0] for call in calls.values()}
    kinds = {variable: kind_of(module[variable]) for variable in called}
    kind = {var: kinds[call.value.args[0]] for var, call in calls.items()}
    readers = _only_readers(block, calls)
    producers = {reader: var for var, reader in readers.items()}
    chains: list[Chain] = []
    taken: set[Any] = set()
    for var in calls:
        reader, widened = readers.get(var), producers.get(var)
        if kind[var] is not Kind.DEPTHWISE or reader is None:
            continue
        if kind[reader] is not Kind.POINTWISE:
            continue
        widens = widened is not None and kind[widened] is Kind.POINTWISE and widened not in taken
        chain: list[Any] = []
        if widens and _bytes(widened) > caches.core_bytes * caches.cores:
            chain = [widened, var, reader]
        elif _bytes(var) > caches.held * caches.core_bytes:
            chain = [var, reader]
        if chain:
            chains.append([calls[member] for member in chain])
            taken.update(chain)
    return chains


def kind_of(function: Any) -> Kind:
    """Return what a kernel computes, judged by its blocks.

    A convolution has the blocks that TVM makes of it, with at least one more block after them. The
    kernel must read the input of the convolution for nothing else, such as a residual, and its
    output must have the shape of the convolution's output.
    """
    schedule = Schedule(normalized(function))
    root = getattr(schedule.mod["main"].body, "block", None)
    if root is None:
        return Kind.OTHER
    children = schedule.get_child_blocks(schedule.get_sblock(str(root.name_hint)))
    blocks = [schedule.get(block) for block in children]
    if [block.init is not None for block in blocks] != [n == 1 for n in range(max(3, len(blocks)))]:
        return Kind.OTHER
    padding, convolution, *_ = blocks
    name = str(convolution.name_hint)
    if not str(padding.name_hint).startswith(_PADDING) or not name.startswith(_CONVOLUTIONS):
        return Kind.OTHER
    data = schedule.mod["main"].params[0]
    readers = [b for b in blocks if any(region.source.same_as(data) for region in b.reads)]
    before, after = _shape(function, 0), _shape(function, -1)
    *made, ry, rx, inputs = _extents(convolution)
    if len(readers) != 1 or not readers[0].same_as(padding) or made != after:
        return Kind.OTHER
    if name.startswith(_GROUPED):
        return Kind.DEPTHWISE if inputs == 1 and after[-1] == before[-1] else Kind.OTHER
    plain = (ry, rx) == (1, 1) and _extents(padding) == before and after[:-1] == before[:-1]
    return Kind.POINTWISE if plain else Kind.OTHER


def _extents(block: Any) -> list[int]:
    return [int(variable.dom.extent) for variable in block.iter_vars]


def _shape(function: Any, number: int) -> list[int]:
    return [int(extent) for extent in function.params[number].shape]


def _only_readers(block: relax.DataflowBlock, calls: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the variable of the only reader of each call's output, by the call's variable.

    Calls with more readers are left out. So are calls whose output is not the reader's first
    argument, which is the input of its convolution.
    """
    readers = {}
    for var, users in relax.analysis.udchain(block).items():
        if var not in calls or not isinstance(var, relax.DataflowVar) or len(users) != 1:
            continue
        reader = calls.get(users[0])
        if reader is not None:
            places = [n for n, a in enumerate(reader.value.args[1].fields) if a.same_as(var)]
            if places == [0]:
                readers[var] = reader.var
    return readers


def _bytes(variable: Any) -> int:
    extents = tuple(int(extent) for extent in variable.ty.shape.values)
    return shape_bytes((extents, str(variable.ty.dtype)))
