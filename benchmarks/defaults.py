"""What default schedules and straight-line functions are worth: nanoseconds and GFLOP/s.

    python benchmarks/defaults.py

First every transcendental function, vectorised, as straight-line code and as calls of libm, and how
long a tile of them takes to compile; then kernels by default and as TVM leaves them. All are timed
in turns, kernels on all cores; the best time counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores

VALUES, ROUNDS = 1 << 14, 8


@dataclass(frozen=True)
class Kernel:
    """A kernel to be timed.

    Attributes:
        function: Its TensorIR function.
        flops: Its floating-point operations.
    """

    function: Any
    flops: float


def functions() -> Mapping[str, tuple[Any, Any]]:
    """Return modules by name: as straight-line code, and with calls."""
    from tvm import te, tirx
    from tvm.ir import IRModule
    from tvm.s_tir import Schedule

    from chameleon_tuner.backends.tvm.lower.mathematics import FUNCTIONS, without_calls
    from chameleon_tuner.backends.tvm.targets import resolve_target

    def vectorised(compute: Callable[[Any], Any]) -> Any:
        x = te.placeholder((VALUES,), "float32", "x")
        y = te.compute((VALUES,), lambda i: compute(x[i]), "y")
        schedule = Schedule(IRModule({"main": te.create_prim_func([x, y])}))
        [loop] = schedule.get_loops(schedule.get_sblock("y"))
        schedule.vectorize(schedule.split(loop, [None, 16])[1])
        return schedule.mod

    gelu = vectorised(lambda v: v * 0.5 * (1.0 + tirx.erf(v * 0.70710678)))
    modules = {name: vectorised(getattr(tirx, name)) for name in FUNCTIONS} | {"gelu": gelu}
    target = resolve_target("auto", usable_cores())
    return {name: (without_calls(module, target), module) for name, module in modules.items()}


def tile_of_gelus() -> Any:
    """Return a kernel with eight vectors of GELUs, unrolled, as they follow a matrix product."""
    from tvm import te, tirx
    from tvm.ir import IRModule
    from tvm.s_tir import Schedule

    x = te.placeholder((1024, 8, 8), "float32", "x")
    y = te.compute(
        x.shape, lambda i, j, k: x[i, j, k] * 0.5 * (1.0 + tirx.erf(x[i, j, k] * 0.70710678)), "y"
    )
    schedule = Schedule(IRModule({"main": te.create_prim_func([x, y])}))
    tile, row, lane = schedule.get_loops(schedule.get_sblock("y"))
    schedule.unroll(row)
    schedule.vectorize(lane)
    schedule.parallel(tile)
    return schedule.mod


def kernels() -> Mapping[str, Kernel]:
    """Return kernels by name."""
    from tvm import te, topi

    def convolution(size: int, before: int, after: int, window: int) -> Kernel:
        x = te.placeholder((1, size, size, before), "float32", "x")
        weight = te.placeholder((window, window, before, after), "float32", "w")
        bias = te.placeholder((after,), "float32", "b")
        y = topi.nn.relu(topi.add(topi.nn.conv2d_nhwc(x, weight, 1, window // 2, 1), bias))
        flops = 2.0 * size * size * before * after * window * window
        return Kernel(te.create_prim_func([x, weight, bias, y]), flops)

    def product(rows: int, inner: int, columns: int) -> Kernel:
        x = te.placeholder((rows, inner), "float32", "x")
        weight = te.placeholder((inner, columns), "float32", "w")
        y = topi.nn.matmul(x, weight)
        return Kernel(te.create_prim_func([x, weight, y]), 2.0 * rows * inner * columns)

    def joined(arrays: int) -> Kernel:
        lengths = [256] + [32] * (arrays - 1)
        parts = [
            te.placeholder((1, 14, 14, length), "float32", f"x{number}")
            for number, length in enumerate(lengths)
        ]
        y = topi.nn.relu(topi.concatenate(parts, 3))
        return Kernel(te.create_prim_func([*parts, y]), 14.0 * 14 * sum(lengths))

    return {
        "convolution 56x56x64, 3x3": convolution(56, 64, 64, 3),
        "convolution 28x28x128, 3x3": convolution(28, 128, 128, 3),
        "convolution 13x13x64, 3x3": convolution(13, 64, 256, 3),
        "convolution 7x7x512, 3x3": convolution(7, 512, 512, 3),
        "convolution 14x14x256, 1x1": convolution(14, 256, 1024, 1),
        "product 196x192x768": product(196, 192, 768),
        "product 197x192x768": product(197, 192, 768),
        "product 1x1024x1000": product(1, 1024, 1000),
        "25 arrays joined": joined(25),
    }


def timer(module: Any, compile_: Callable[[Any], Any]) -> Callable[[], float]:
    """Return a function that times a compiled module; positive random inputs."""
    import numpy as np
    import tvm

    kernel = compile_(module)
    rng = np.random.default_rng(0)
    tensors = [
        tvm.runtime.tensor(rng.uniform(0.1, 5.0, shape).astype(dtype))
        for shape, dtype in kernel.shapes
    ]
    run = kernel.timer([tensors])
    once = run(1)
    number = max(1, min(50, int(0.02 / max(once, 1e-9))))
    return lambda: run(number)


def fastest(timers: Mapping[Any, Callable[[], float]]) -> dict[Any, float]:
    """Return the best of some rounds of everything, in turns."""
    best = dict.fromkeys(timers, float("inf"))
    for _ in range(ROUNDS):
        for name, run in timers.items():
            best[name] = min(best[name], run())
    return best


def main() -> None:
    """See the module."""
    os.environ.update(thread_environment(usable_cores()))
    import chameleon_tuner.backends.tvm  # noqa: F401 - imports TVM without PyTorch

    # isort: split
    from tvm.ir import IRModule

    from chameleon_tuner.backends.tvm.lower.default import scheduled_by_default
    from chameleon_tuner.backends.tvm.lower.kernel import compile_as_is
    from chameleon_tuner.backends.tvm.lower.mathematics import without_calls
    from chameleon_tuner.backends.tvm.targets import resolve_target

    target = resolve_target("auto", usable_cores())

    def compiled(module: Any) -> Any:
        return compile_as_is(module, target)

    print(cpu_name(), target.attrs.get("mcpu", ""), usable_cores(), "cores")
    timers: dict[tuple[str, int], Callable[[], float]] = {}
    for name, pair in functions().items():
        timers |= {(name, way): timer(module, compiled) for way, module in enumerate(pair)}
    best = fastest(timers)
    for name in dict.fromkeys(name for name, _ in timers):
        mine, libm = (best[name, way] / VALUES * 1e9 for way in (0, 1))
        print(f"{name:28} {mine:8.2f} ns a value, {libm:8.2f} with libm")
    begin = time.perf_counter()
    compiled(without_calls(tile_of_gelus(), target))
    print(f"{time.perf_counter() - begin:.2f} s to compile eight GELUs in a row")
    timers, made = {}, kernels()
    for name, kernel in made.items():
        both = (scheduled_by_default(kernel.function, target), kernel.function)
        timers |= {
            (name, way): timer(IRModule({"main": function}), compiled)
            for way, function in enumerate(both)
        }
    best = fastest(timers)
    for name, kernel in made.items():
        mine, plain = best[name, 0], best[name, 1]
        print(
            f"{name:28} {mine * 1e6:8.0f} us ({kernel.flops / mine / 1e9:5.1f} GFLOP/s), "
            f"{plain * 1e6:8.0f} us as TVM leaves it"
        )


if __name__ == "__main__":
    main()
