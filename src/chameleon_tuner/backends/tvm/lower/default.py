"""Schedules for kernels that no search has reached: parallel, vectorised, in small tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import IRModule
from tvm.s_tir import Schedule, dlight
from tvm.target import Target

from chameleon_tuner.backends.tvm.targets import is_gpu, vector_bits
from chameleon_tuner.space.task import vector_registers

SERIAL_WORK = 1 << 14
"""Kernels with fewer steps of their loops stay as they are: to wake threads takes as long."""

_VECTORS = (1, 2, 4)
"""Vectors in a row of a tile: LLVM computes vectors of other lengths by shuffling."""

_CROWDED, _UNEVEN = 0.8, 0.85
"""Worth of a tile that needs more registers than there are, and of one that leaves rows over, which
are computed one by one. On a Zen 1 a convolution of 56x56 makes 73 GFLOP/s in tiles of 4 by 2
vectors, 44 in 7 by 2 and 62 in 3 by 4. One of 7x7 makes 9.8 in tiles of 7 by 2, 6.8 in 7 by 1. A
product of 197 rows makes 58 in tiles that leave one over, and 33 row by row."""

_MOST_SEAMS = 32
"""Arrays of a concatenation that get a loop each; more would take seconds to compile."""

_SPATIAL, _REDUCTION = 0, 2
"""Kinds of iteration variables, as TVM numbers them."""


def with_default_schedules(module: IRModule, target: Target) -> IRModule:
    """Return a module in which all kernels have schedules.

    Without one a kernel cannot be launched on a GPU, where TVM's own defaults are taken. On a CPU
    it runs in one thread, one value at a time. On two cores of a Zen 1 such a convolution of
    56x56x64 takes 224 ms, by default 3.3 ms, and a matrix product of 196x192x768 53 and 1.0 ms
    (`benchmarks/defaults.py`).

    Args:
        module: A lowered module; scheduled kernels are marked by `tirx.is_scheduled`.
        target: The target.
    """
    if is_gpu(target):
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
    if not is_gpu(target):
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
        bits = vector_bits(target)
        for block in _blocks(schedule):
            _share(schedule, block, bits)
    except Exception:  # what TVM refuses, and kernels of a form that is not known here
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
    axis, seams = (0, []) if inner or len(outer) < 2 else _seams(schedule, block)
    if seams:
        _share_pieces(schedule, outer, axis, seams, bits)
        return
    along = bool(inner) and _sums_rows(schedule, block)
    tile = [] if along else _tile(schedule, outer, bits, sums=bool(inner))
    schedule.reorder(*outer, *inner, *tile)
    if tile:
        schedule.vectorize(tile[-1])
    for loop in tile[:-1]:
        schedule.unroll(loop)
    schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])
    if inner:
        schedule.decompose_reduction(block, inner[0])


def _seams(schedule: Schedule, block: Any) -> tuple[int, list[int]]:
    """Return the axis along which a block puts arrays next to each other, and where they meet.

    TVM's concatenation asks for every element which array it comes from: conditions `seam <= axis`.
    No seams are returned where there are conditions on several axes, such as for padding.
    """
    found = schedule.get(block)
    seams: dict[int, set[int]] = {}

    def see(condition: Any) -> None:
        for axis, variable in enumerate(found.iter_vars):
            if isinstance(condition.a, tirx.IntImm) and variable.var.same_as(condition.b):
                seams.setdefault(axis, set()).add(int(condition.a))

    tvm_ffi.structural_walk(found.body, (tirx.LE, see))
    if len(seams) != 1:
        return 0, []
    [(axis, points)] = seams.items()
    extent = _extent(schedule, schedule.get_loops(block)[axis])
    inside = sorted(point for point in points if 0 < point < extent)
    return axis, inside if len(inside) <= _MOST_SEAMS else []


def _share_pieces(
    schedule: Schedule, outer: list[Any], axis: int, seams: Sequence[int], bits: int
) -> None:
    """Share a concatenation among threads, with a loop of its own for every array.

    The conditions are decided when it is compiled then. A concatenation of 25 arrays as in a
    DenseNet-121 takes 24 us instead of 3,726 on two cores of a Zen 1 (`benchmarks/defaults.py`).
    """
    last = axis == len(outer) - 1
    whole = math.gcd(_extent(schedule, outer[-1]), *(seams if last else ()))
    lanes = next((n for n in (bits // 32, bits // 64) if whole % n == 0), 1)
    columns = []
    if lanes > 1:
        outer[-1], vector = schedule.split(outer[-1], [None, lanes])
        columns.append(vector)
        seams = [seam // lanes for seam in seams] if last else seams
    pieces = outer.pop(axis)
    schedule.reorder(*outer, pieces, *columns)
    for vector in columns:
        schedule.vectorize(vector)
    schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])
    lengths = [end - begin for begin, end in zip([0, *seams], seams, strict=False)]
    schedule.loop_partition(pieces, [*lengths, None])


def _sums_rows(schedule: Schedule, block: Any) -> bool:
    """Return whether a reduction goes along the rows of one array: neighbours are far apart."""
    found = schedule.get(block)
    reduced = [variable.var for variable in found.iter_vars if variable.iter_type == _REDUCTION]

    def along(index: Any) -> bool:
        return any(variable.same_as(index.min) for variable in reduced)

    read = [region.region for region in found.reads if any(map(along, region.region))]
    return len(read) == 1 and along(read[0][-1])


def _tile(schedule: Schedule, outer: list[Any], bits: int, *, sums: bool) -> list[Any]:
    """Split off the loops over neighbours, the last of which can be vectorised.

    Args:
        schedule: The schedule.
        outer: The loops over elements, of which those that are split become the outer parts.
        bits: Width of a vector.
        sums: Whether every element is a sum, which stays in a register then.
    """
    extent = _extent(schedule, outer[-1])
    lanes = next((n for n in (bits // 32, bits // 64) if extent % n == 0), 0)
    if not lanes:
        return []
    if not sums:
        outer[-1], columns = schedule.split(outer[-1], [None, lanes])
        return [columns]
    length = _extent(schedule, outer[-2]) if len(outer) > 1 else 1
    rows, vectors = _register_tile(length, extent // lanes, vector_registers(bits))
    outer[-1], columns = schedule.split(outer[-1], [None, vectors * lanes])
    if rows == 1:
        return [columns]
    outer[-2], neighbours = schedule.split(outer[-2], [None, rows])
    return [neighbours, columns]


def _register_tile(rows: int, vectors: int, registers: int) -> tuple[int, int]:
    """Return the tile of sums that needs the fewest loads for its products.

    A step of a tile of r by v vectors is r v products of r broadcast numbers and v loaded vectors.

    Args:
        rows: Extent that the rows share; the last of them may be left over.
        vectors: Extent that the vectors divide.
        registers: Number of vector registers.
    """
    tiles = [
        (r, v)
        for r in range(1, min(rows, registers) + 1)
        for v in _VECTORS
        if vectors % v == 0 and r * v < registers
    ]

    def products_a_load(tile: tuple[int, int]) -> float:
        r, v = tile
        held = r * v + v + 1  # sums, vectors, and a broadcast number
        used = rows / (math.ceil(rows / r) * r) * (1.0 if rows % r == 0 else _UNEVEN)
        return (1.0 if held <= registers else _CROWDED) * used * r * v / (r + v)

    return max(tiles, key=lambda tile: (products_a_load(tile), tile[0]))
