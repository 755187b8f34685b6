"""Compiled kernels of this process: building, arguments, running."""

from __future__ import annotations

import functools
import itertools
import math
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm.ir import IRModule
from tvm.s_tir import dlight, meta_schedule
from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock
from tvm.target import Target

from chameleon_tuner.tvm.lean import lean_lowering, unchecked

Shape = tuple[tuple[int, ...], str]
"""Shape and dtype of an argument."""

_MOST_TURNS = 64
"""Copies of weights; what needs more of them to be cold is small."""


def device_of(target: Target) -> Any:
    """The device that kernels for a target run on."""
    return tvm.runtime.device_from_target(target, 0)


def is_gpu(target: Target) -> bool:
    """Whether kernels for a target are launched on a GPU."""
    return str(target.kind.name) != "llvm"


def launchable(module: IRModule, target: Target) -> IRModule:
    """The module with TVM's default schedules for kernels without one, where a GPU needs them."""
    if not is_gpu(target):
        return module
    gpu = dlight.gpu
    rules = [gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback()]
    with target:
        return dlight.ApplyDefaultSchedule(*rules)(module)


def weights_of(function: Any) -> tuple[int, ...]:
    """Numbers of the arguments of a kernel that are weights: those that may be laid out anew."""
    attributes = function.attrs or {}
    return tuple(int(number) for number in attributes.get("layout_free_buffers", ()))


def argument_shapes(module: IRModule, *, rewritten: bool = True) -> list[Shape]:
    """Shapes and dtypes of `main`'s arguments.

    Args:
        module: a task's module, scheduled or not.
        rewritten: whether re-laid-out weights come in their new layout.
    """
    infos = meta_schedule.arg_info.ArgInfo.from_entry_func(module, remove_preproc=rewritten)
    return [(tuple(int(extent) for extent in info.shape), str(info.dtype)) for info in infos]


class Kernel:
    """A compiled and loaded `main`.

    Args:
        module: whose `main` it is; as it stands, without a change of its arguments.
        target: what it is compiled for.
        shapes: of its arguments.
    """

    def __init__(self, module: IRModule, target: Target, shapes: Sequence[Shape]) -> None:
        self.shapes = list(shapes)
        self._executable = tvm.compile(module, target=target)
        self._function = self._executable["main"]  # machine code is made here, not at the first run
        self._device = device_of(target)

    def __call__(self, *arguments: Any) -> None:
        """Run once and wait for the end."""
        self._function(*arguments)
        self._device.sync()

    def timer(self, arguments: Sequence[Sequence[Any]]) -> Callable[[int], float]:
        """A function that runs the kernel so many times and gives the seconds of one run.

        TVM's evaluator runs the kernel once more than it is told and takes 0.5 ms to be made, so a
        single run is timed here; what a call from Python adds to it was 0.5 us.

        Args:
            arguments: that runs take turns with, as `Arguments.turns` has them.
        """
        turns = itertools.cycle(arguments)

        @functools.cache
        def evaluator(number: int) -> Any:
            return self._executable.mod.time_evaluator("main", self._device, number=number)

        def run(number: int) -> float:
            if number > 1 and len(arguments) == 1:
                return float(evaluator(number)(*arguments[0]).mean)
            each = [next(turns) for _ in range(number)]
            begin = time.perf_counter()
            for mine in each:
                self._function(*mine)
            self._device.sync()
            return (time.perf_counter() - begin) / number

        return run


def compile_candidate(scheduled: IRModule, target: Target) -> Kernel:
    """A kernel that takes re-laid-out weights in their new layout, as deployed, without checks."""
    with lean_lowering(target, checked=False):
        return compile_by_tvm(scheduled, target)


def compile_deployed(scheduled: IRModule, target: Target) -> Kernel:
    """The same kernel with its checks, by lean lowering, as libraries are compiled."""
    with lean_lowering(target):
        return compile_by_tvm(scheduled, target)


def compile_by_tvm(scheduled: IRModule, target: Target) -> Kernel:
    """The same kernel by TVM's own lowering, as other tuners deploy it, or by the context's."""
    stripped = RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(scheduled)
    return Kernel(stripped, target, argument_shapes(scheduled))


def compile_untuned(module: IRModule, target: Target) -> Kernel:
    """The kernel that TVM makes of a task's module without tuning."""
    return compile_as_is(launchable(module, target), target)


def compile_as_is(module: IRModule, target: Target) -> Kernel:
    """A kernel that takes all weights in the task's layout and re-lays them out itself."""
    with unchecked(target):
        return Kernel(module, target, argument_shapes(module, rewritten=False))


class Arguments:
    """Random inputs of one task; a candidate's re-laid-out weights are views of the same bytes.

    Args:
        shapes: of the task's arguments.
        device: where they are.
        weights: numbers of those that every call in a network has of its own.
        seed: of their values.
    """

    def __init__(
        self, shapes: Sequence[Shape], device: Any, weights: Sequence[int] = (), seed: int = 0
    ) -> None:
        self._device, self._rng = device, np.random.default_rng(seed)
        self._weights = tuple(weights)
        self._flat = [self._random(shape, dtype) for shape, dtype in shapes]
        self._copies: dict[int, list[Any]] = {number: [] for number in self._weights}

    def views(self, shapes: Sequence[Shape]) -> list[Any]:
        """One tensor for each of a candidate's arguments.

        A layout may pad: a bias of 1000 came back as 16x64.
        """
        for number, (shape, dtype) in enumerate(shapes):
            if math.prod(shape) > math.prod(self._flat[number].shape):
                self._flat[number] = self._random(shape, dtype)
                self._copies[number] = []
        return [
            flat._create_view(shape) for flat, (shape, _) in zip(self._flat, shapes, strict=True)
        ]

    def turns(self, shapes: Sequence[Shape], apart_bytes: int) -> list[list[Any]]:
        """Arguments that runs take turns with: each has weights of its own, all else is shared.

        Args:
            shapes: of a candidate's arguments.
            apart_bytes: of weights that are read between two runs on the same; none where it is 0.
        """
        first = self.views(shapes)
        own_bytes = sum(shape_bytes(shapes[number]) for number in self._weights)
        count = math.ceil(apart_bytes / own_bytes) if own_bytes else 1
        sets = [first]
        for turn in range(1, min(count, _MOST_TURNS)):
            mine = list(first)
            for number in self._weights:
                mine[number] = self._copy(number, turn)._create_view(shapes[number][0])
            sets.append(mine)
        # Else every candidate would begin with what the one before it has left in the caches.
        return [sets[turn] for turn in self._rng.permutation(len(sets))]

    def _copy(self, number: int, turn: int) -> Any:
        copies, original = self._copies[number], self._flat[number]
        while len(copies) < turn:
            copies.append(tvm.runtime.empty(original.shape, original.dtype, self._device))
            original.copyto(copies[-1])
        return copies[turn - 1]

    def _random(self, shape: tuple[int, ...], dtype: str) -> Any:
        host = random_array((math.prod(shape),), dtype, self._rng)
        return tvm.runtime.tensor(host, device=self._device)


def weights_bytes(module: IRModule) -> int:
    """Of a kernel's weights, as the network has them."""
    shapes = argument_shapes(module, rewritten=False)
    return sum(shape_bytes(shapes[number]) for number in weights_of(module["main"]))


def shape_bytes(shape: Shape) -> int:
    """Of an argument."""
    extents, dtype = shape
    return math.prod(extents) * int(tvm.DataType(dtype).bits) // 8


def random_array(shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Any:
    """Uniform in [-1, 1); 0 or 1 for booleans and 8-bit integers.

    Zeros for wider integers: those are mostly indices, and one that is out of range crashes.
    """
    if dtype.startswith(("float", "bfloat")):
        return (rng.random(shape, dtype=np.float32) * 2 - 1).astype(dtype)
    if dtype in ("bool", "int8", "uint8"):
        return rng.integers(0, 2, shape).astype(dtype)
    return np.zeros(shape, dtype)


def tensors_of(arrays: Sequence[npt.NDArray[Any]], target: Target) -> list[Any]:
    """Copies of arrays on the device of a target."""
    device = device_of(target)
    return [tvm.runtime.tensor(array, device=device) for array in arrays]


def seed_of(text: str) -> int:
    """A seed that is the same in every process."""
    return zlib.crc32(text.encode())
