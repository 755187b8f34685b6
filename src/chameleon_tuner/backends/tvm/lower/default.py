"""Schedules for kernels that no search has reached: parallel, vectorised, in small tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule, dlight
from tvm.target import Target

from chameleon_tuner.backends.tvm.targets import vector_bits

SERIAL_WORK = 1 << 14
"""Kernels with fewer steps of their loops stay as they are: to wake threads takes as long."""

_ROWS = (4, 6, 5, 7, 3, 2)
"""Neighbours in the dimension before the last that are computed at once, by preference: with two
vectors each they are eight sums or more, which keeps both of a core's multipliers busy."""

_SPATIAL, _REDUCTION = 0, 2
"""Kinds of iteration variables, as TVM numbers them."""


def with_default_schedules(module: IRModule, target: Target) -> IRModule:
    """Return a module in which all kernels have schedules.

    Without one a kernel cannot be launched on a GPU, where TVM's own defaults are taken. On a CPU
    it runs in one thread, one value at a time. On two cores of a Zen 1 such a convolution of
    56x56x64 takes 256 ms, by default 6.3 ms, and a matrix product of 197x192x768 53 and 2.2 ms.

    Args:
        module: A lowered module; scheduled kernels are marked by `tirx.is_scheduled`.
        target: The target.
    """
    if target.kind.name != "llvm":
        return launchable(module, target)
    functions = {
        variable: scheduled_by_default(function, target)
        if isinstance(function, tirx.PrimFunc) and not _is_scheduled(function)
        else function
        for variable, function in module.functions.items()
    }
    return IRModule(functions, attrs=module.attrs)


def launchable(module: IRModule, target: Target) -> IRModule:
    """Return the module; for a GPU, its unscheduled kernels get TVM's default schedules."""
    if target.kind.name == "llvm":
        return module
    gpu = dlight.gpu
    rules = [gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback()]
    with target:
        return dlight.ApplyDefaultSchedule(*rules)(module)


def _is_scheduled(function: Any) -> bool:
    return bool((function.attrs or {}).get("tirx.is_scheduled", False))


def scheduled_by_default(function: Any, target: Target) -> Any:
    """Return a kernel with its default schedule, or as it is where TVM refuses that."""
    try:
        schedule = Schedule(function)
        if _work(schedule) < SERIAL_WORK:
            return function
        _inline(schedule)
        for block in _blocks(schedule):
            _share(schedule, block, vector_bits(target))
    except (RuntimeError, ValueError):  # what a schedule refuses
        return function
    return schedule.mod["main"].with_attr("tirx.is_scheduled", True)


def _blocks(schedule: Schedule) -> Sequence[Any]:
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def _extent(schedule: Schedule, loop: Any) -> int:
    return int(schedule.get(loop).extent)


def _work(schedule: Schedule) -> int:
    loops = [schedule.get_loops(block) for block in _blocks(schedule)]
    return sum(math.prod(_extent(schedule, loop) for loop in mine) for mine in loops)


def _reduces(schedule: Schedule, block: Any) -> bool:
    return any(variable.iter_type != _SPATIAL for variable in schedule.get(block).iter_vars)


def _inline(schedule: Schedule) -> None:
    """Compute element-wise blocks where they are used, unless that is in a reduction."""
    for block in _blocks(schedule)[:-1]:
        consumers = schedule.get_consumers(block)
        if _reduces(schedule, block) or any(_reduces(schedule, other) for other in consumers):
            continue
        try:
            schedule.compute_inline(block)
        except tvm.s_tir.ScheduleError:
            continue  # it is an output, or not a single expression


def _share(schedule: Schedule, block: Any, bits: int) -> None:
    """Share the elements of a block among threads, each of which computes tiles of neighbours."""
    kinds = [variable.iter_type for variable in schedule.get(block).iter_vars]
    loops = schedule.get_loops(block)
    if len(kinds) != len(loops) or not set(kinds) <= {_SPATIAL, _REDUCTION}:
        return
    outer = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _SPATIAL]
    inner = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == _REDUCTION]
    if not outer:
        return
    tile = _tile(schedule, outer, bits // 32, sums=bool(inner))
    schedule.reorder(*outer, *inner, *tile)
    if tile:
        schedule.vectorize(tile[-1])
    for loop in tile[:-1]:
        schedule.unroll(loop)
    schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])
    if inner:
        schedule.decompose_reduction(block, inner[0])


def _tile(schedule: Schedule, outer: list[Any], lanes: int, *, sums: bool) -> list[Any]:
    """Split off the loops over neighbours, the last of which can be vectorised.

    Args:
        schedule: The schedule.
        outer: The loops over elements, of which those that are split become the outer parts.
        lanes: Numbers in a vector.
        sums: Whether every element is a sum, which stays in a register then.
    """
    extent = _extent(schedule, outer[-1])
    vector = next((n for n in (2 * lanes, lanes, lanes // 2) if extent % n == 0), 1)
    if vector == 1:
        return []
    outer[-1], columns = schedule.split(outer[-1], [None, vector])
    if not sums or len(outer) < 2:
        return [columns]
    rows = next((n for n in _ROWS if _extent(schedule, outer[-2]) % n == 0), 1)
    outer[-2], neighbours = schedule.split(outer[-2], [None, rows])
    return [neighbours, columns]
