"""Weights in the layout that a schedule gave them, as a deployed model holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt
import tvm
from tvm import s_tir, tirx
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.tvm.kernels import device_of, tensors_of
from chameleon_tuner.tvm.lean import lean_lowering

_PREPROC = "meta_schedule.layout_rewrite_preproc"
"""Annotation of a block that copies a weight into its new layout."""


def relaid(scheduled: IRModule, arguments: Sequence[npt.NDArray[Any]], target: Target) -> list[Any]:
    """Arguments of a candidate, as tensors, from those of the kernel as it was.

    Only the copying is compiled, a tenth of what the candidate takes.

    Args:
        scheduled: the candidate's module, before its copying of weights is taken out.
        arguments: in the task's layout.
        target: of the candidate.
    """
    device, tensors = device_of(target), tensors_of(arguments, target)
    copies = {f"copy{number}": (number, copy) for number, copy in _copies(scheduled)}
    if not copies:
        return tensors
    functions = {name: copy.with_attr("global_symbol", name) for name, (_, copy) in copies.items()}
    with lean_lowering(target, checked=False):
        compiled = tvm.compile(IRModule(functions), target=target)
    for name, (number, copy) in copies.items():
        new = copy.params[1]
        shape = [int(extent) for extent in new.shape]
        mine = tvm.runtime.empty(shape, str(new.dtype), device)
        compiled[name](tensors[number], mine)
        tensors[number] = mine
    device.sync()
    return tensors


def _copies(scheduled: IRModule) -> Iterator[tuple[int, Any]]:
    """Numbers of arguments in a new layout, and functions from the old to the new."""
    schedule, parameters = s_tir.Schedule(scheduled), scheduled["main"].params
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        copy = schedule.get(block)
        if _PREPROC not in copy.annotations:
            continue
        old, new = copy.reads[0].source, copy.writes[0].source
        number = next(n for n, mine in enumerate(parameters) if mine.same_as(old))
        loop = schedule.get(schedule.get_loops(block)[0])
        root = s_tir.SBlockRealize([], True, s_tir.SBlock([], [], [], "root", loop))
        yield number, tirx.PrimFunc([old, new], root)
