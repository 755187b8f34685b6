"""Calls of kernels that make a depthwise separable convolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tvm import relax
from tvm.ir import IRModule
from tvm.s_tir import Schedule

from chameleon_tuner.tvm.kernels import shape_bytes
from chameleon_tuner.tvm.lower import is_kernel_call, normalized

_PADDING, _GROUPED = "pad_temp", "group_conv2d_nhwc"
_CONVOLUTIONS = ("conv2d_nhwc", _GROUPED)
"""What TVM calls the blocks of a convolution; there may be a number behind it."""


_HELD = 1 / 4
"""Of a core's cache: what it holds of an image until the next kernel has it. MobileNet-V2 took 0.91
of its time with a limit of the whole cache, which merges three chains, and 0.87 with this one,
which merges twelve (2 cores with 1 MiB each, 25 rounds of `benchmarks/beside.py`)."""


class Kind(Enum):
    """What a kernel computes, as far as it matters here."""

    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    OTHER = "other"


@dataclass(frozen=True)
class Caches:
    """What a kernel may leave for the next one.

    Attributes:
        core_bytes: of a core's own cache.
        cores: that kernels run on.
    """

    core_bytes: int
    cores: int


Chain = Sequence[Any]
"""Bindings of calls, each of which alone reads what the one before it makes: a depthwise and a
pointwise convolution, or a pointwise one before them."""


def chains_of(module: IRModule, block: relax.DataflowBlock, caches: Caches) -> list[Chain]:
    """Calls that are worth a kernel of their own; none is in two chains.

    Rows of what is widened are computed twice at the edges of what is done at once, 7% of
    MobileNet-V2's second block, so that must save more: it is merged where the caches of all cores
    together do not hold the widened image. What the depthwise convolution makes needs no row twice;
    it is merged where a share of one core's cache does not hold it.
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
        elif _bytes(var) > _HELD * caches.core_bytes:
            chain = [var, reader]
        if chain:
            chains.append([calls[member] for member in chain])
            taken.update(chain)
    return chains


def kind_of(function: Any) -> Kind:
    """What a kernel computes, if its blocks are as TVM makes them and something follows.

    What it convolves is read for nothing else, such as a residual, and what follows is of the shape
    of what the convolution makes.
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
    """The calls that alone read what others make, and as their data: by variables."""
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
