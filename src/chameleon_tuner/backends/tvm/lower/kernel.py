"""Compiled kernels in this process: lowering, compiling, running and timing them."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm.ir import IRModule
from tvm.s_tir import meta_schedule
from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.default import with_default_schedules
from chameleon_tuner.backends.tvm.lower.mathematics import without_calls
from chameleon_tuner.backends.tvm.targets import adding_freely, is_gpu

_CPU_PASSES = ("s_tir.RenormalizeSplitPattern", "tirx.RemoveNoOp")
_CPU_CONFIG = {"tirx.disable_cse_tir": True}
_UNCHECKED = {"tirx.disable_assert": True}


def lean_lowering(
    target: Target, opt_level: int = 2, *, checked: bool = True
) -> tvm.transform.PassContext:
    """Return the pass context in which candidates and libraries are compiled.

    On a CPU it leaves out passes that go through the whole unrolled body, and passes whose work
    LLVM does anyway. On the paper's resnet18-6, compiling and loading took 0.82 of the time with
    TVM's own lowering, and 12 of the fastest kernels ran in 0.994 of their time (geometric mean).
    Common subexpressions are not eliminated because that makes some of the fastest kernels with
    AVX-512 three times as slow (vgg16-2 on a Zen 5). The simplification after unrolling is not left
    out: without it kernels were up to 4.6 times as slow (`benchmarks/lowering.py`). On a GPU
    nothing is left out because nothing was measured there.

    Args:
        target: The target.
        opt_level: Optimisation level of the context; TVM's default is 2.
        checked: Whether kernels check their arguments; see `unchecked`.

    Returns:
        The context.
    """
    if is_gpu(target):
        return tvm.transform.PassContext(opt_level=opt_level)
    return tvm.transform.PassContext(
        opt_level=opt_level,
        disabled_pass=list(_CPU_PASSES),
        config=_CPU_CONFIG if checked else {**_CPU_CONFIG, **_UNCHECKED},
    )


def unchecked(target: Target) -> tvm.transform.PassContext:
    """Return a pass context with TVM's own lowering, but kernels do not check their arguments.

    The checks concern shape, strides, alignment and device of every argument. They are a third of a
    small kernel's code, and take 25 ms to compile (`benchmarks/lowering.py`). Code that makes the
    arguments for a kernel itself needs no checks. A deployed library does: a user's tensor that
    begins at an offset in its memory would give wrong outputs without them.
    """
    config = {} if is_gpu(target) else _UNCHECKED
    return tvm.transform.PassContext(opt_level=2, config=config)


Shape = tuple[tuple[int, ...], str]
"""Shape and dtype of an argument."""


def device_of(target: Target) -> Any:
    """Return the device that kernels for a target run on."""
    return tvm.runtime.device_from_target(target, 0)


def weights_of(function: Any) -> tuple[int, ...]:
    """Return the numbers of a kernel's arguments that are weights.

    These are the arguments whose layout a schedule may change.
    """
    attributes = function.attrs or {}
    return tuple(int(number) for number in attributes.get("layout_free_buffers", ()))


def argument_shapes(module: IRModule, *, rewritten: bool = True) -> list[Shape]:
    """Return the shapes and dtypes of `main`'s arguments.

    Args:
        module: Module of a task, scheduled or not.
        rewritten: Whether the kernel takes weights in the layout that the schedule gave them.
    """
    infos = meta_schedule.arg_info.ArgInfo.from_entry_func(module, remove_preproc=rewritten)
    return [(tuple(int(extent) for extent in info.shape), str(info.dtype)) for info in infos]


class Kernel:
    """The compiled and loaded `main` of a module.

    Args:
        module: The module, which is compiled as it is.
        target: The target.
        shapes: Shapes and dtypes of the arguments of `main`.

    Attributes:
        shapes: Shapes and dtypes of the arguments.
    """

    def __init__(self, module: IRModule, target: Target, shapes: Sequence[Shape]) -> None:
        self.shapes = list(shapes)
        self._executable = tvm.compile(module, target=target)
        self._function = self._executable["main"]  # generates the machine code before the first run
        self._device = device_of(target)

    def __call__(self, *arguments: Any) -> None:
        """Run once and wait for the end."""
        self._function(*arguments)
        self._device.sync()

    def timer(self, arguments: Sequence[Sequence[Any]]) -> Callable[[int], float]:
        """Return a function that runs the kernel n times and returns the seconds of one run.

        A single run is timed from Python, where a call adds 0.5 us. TVM's evaluator takes 0.5 ms to
        create, and runs the kernel once more than requested.

        Args:
            arguments: Sets of arguments that the runs use in turn, see `Arguments.turns`.
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
    """Compile a candidate as it is deployed, but without checks of the arguments.

    The kernel takes weights in the layout that the schedule gave them.
    """
    with lean_lowering(target, checked=False):
        return compile_by_tvm(without_calls(scheduled, target), adding_freely(target))


def compile_deployed(scheduled: IRModule, target: Target) -> Kernel:
    """Compile a candidate as libraries are compiled: with lean lowering and checks."""
    with lean_lowering(target):
        return compile_by_tvm(without_calls(scheduled, target), adding_freely(target))


def compile_by_tvm(scheduled: IRModule, target: Target) -> Kernel:
    """Compile a candidate in the current pass context.

    Without one this is TVM's own lowering, by which other tuners deploy their kernels. The kernel
    takes weights in the layout that the schedule gave them.
    """
    stripped = RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(scheduled)
    return Kernel(stripped, target, argument_shapes(scheduled))


def compile_untuned(module: IRModule, target: Target) -> Kernel:
    """Compile a task's module as a library has it where no candidate wins: by default."""
    scheduled = with_default_schedules(module, target)
    return compile_as_is(without_calls(scheduled, target), adding_freely(target))


def compile_as_is(module: IRModule, target: Target) -> Kernel:
    """Compile a module to a kernel that takes weights in the task's layout, without checks.

    If a schedule changed the layout of weights, the kernel itself copies them to the new layout.
    """
    with unchecked(target):
        return Kernel(module, target, argument_shapes(module, rewritten=False))


def weights_bytes(module: IRModule) -> int:
    """Return the size of a kernel's weights in bytes, in the network's layout."""
    shapes = argument_shapes(module, rewritten=False)
    return sum(shape_bytes(shapes[number]) for number in weights_of(module["main"]))


def shape_bytes(shape: Shape) -> int:
    """Return the size of an argument in bytes."""
    extents, dtype = shape
    return math.prod(extents) * int(tvm.DataType(dtype).bits) // 8
