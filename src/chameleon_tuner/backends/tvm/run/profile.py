"""Timing the kernels of a tuned network in their order, on their own buffers; the CPU's peak."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T  # noqa: N812 - the name that TVM gives it everywhere

from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.lower.kernel import shape_bytes
from chameleon_tuner.backends.tvm.targets import resolve_target, vector_bits
from chameleon_tuner.space.task import NARROW, WIDE

_NO_KERNELS = ("vm.", "relax.run.")
"""Prefixes of the names of functions that belong to Relax's virtual machine and runtime."""

_ISOLATED_SECS = 0.02
"""Seconds for which a kernel is repeated in a round of isolated calls."""


@dataclass
class Call:
    """One call of a kernel in the network.

    Attributes:
        name: Name of the kernel.
        bytes: Size of its arguments in bytes.
        network_secs: Mean seconds of the call in the order of the network, one sample per round.
        isolated_secs: Mean seconds of the call repeated by itself, one sample per round.
    """

    name: str
    bytes: int
    network_secs: list[float] = field(default_factory=list)
    isolated_secs: list[float] = field(default_factory=list)


class NetworkCalls:
    """The calls of kernels in one call of the network, recorded so that they can be repeated.

    They are repeated from Python and not by the virtual machine, whose hook before and after every
    call would add some microseconds to each time. A call from Python adds half a microsecond.

    Args:
        library: The library of the network.
        inputs: Inputs by name.

    Attributes:
        calls: The calls, in the order of the network.
    """

    def __init__(self, library: Library, inputs: Mapping[str, Any]) -> None:
        self._functions: list[tuple[Any, list[Any]]] = []
        self.calls: list[Call] = []

        def note(function: Any, name: str, before: bool, _: Any, *arguments: Any) -> int:
            """See `VirtualMachine.set_instrument` of Relax."""
            kernel = isinstance(function, tvm_ffi.Function) and not name.startswith(_NO_KERNELS)
            if before and kernel:
                self._functions.append((function, list(arguments)))
                self.calls.append(Call(name, sum(map(_bytes, arguments))))
            return 0  # the virtual machine goes on with the call

        library.instrumented(inputs, note)

    def round(self, at_least_secs: float) -> None:
        """Time all calls in the order of the network, repeatedly; each call's mean is a sample.

        The first pass does not count, because other code ran before it and used the caches.

        Args:
            at_least_secs: The passes are repeated for at least this many seconds.
        """
        clock, begin_all, passes = time.perf_counter, time.perf_counter(), 0
        sums = [0.0] * len(self.calls)
        while passes < 2 or clock() - begin_all < at_least_secs:
            for position, (function, arguments) in enumerate(self._functions):
                begin = clock()
                function(*arguments)
                sums[position] += (clock() - begin) if passes else 0.0
            passes += 1
        for call, total in zip(self.calls, sums, strict=True):
            call.network_secs.append(total / (passes - 1))

    def isolated_round(self) -> None:
        """Time every call by itself, repeatedly; each call's mean is a sample."""
        for call, (function, arguments) in zip(self.calls, self._functions, strict=True):
            once = statistics.median(call.network_secs)
            number = max(1, math.ceil(_ISOLATED_SECS / max(once, 1e-7)))
            function(*arguments)
            begin = time.perf_counter()
            for _ in range(number):
                function(*arguments)
            call.isolated_secs.append((time.perf_counter() - begin) / number)


def _bytes(argument: Any) -> int:
    """Return the size of a tensor in bytes; 0 if the argument is not a tensor."""
    shape, dtype = getattr(argument, "shape", None), getattr(argument, "dtype", None)
    if shape is None or dtype is None:
        return 0
    return shape_bytes((tuple(int(extent) for extent in shape), str(dtype)))


CHAINS = {WIDE: 24, NARROW: 12}
"""Number of independent sums in a thread, by the width of a vector in bits: a CPU has 32 registers
of 512 bits, or 16 of 256 bits."""

STEPS = 1 << 22
"""Number of multiply-adds in each sum, which take 6 to 12 ms."""


def peak_run(threads: int) -> tuple[Callable[[], None], int]:
    """Compile a kernel that reaches this CPU's peak throughput: `multiply_adds`.

    A large product of matrices does not show the peak: NumPy's BLAS reaches half of it on a Zen 5,
    where tuned convolutions reach all of it (docs/evaluation.md).

    Args:
        threads: Number of threads of the kernel. The process must be configured to use as many.

    Returns:
        A function that runs the kernel once, and the number of floating-point operations of a run.
    """
    target = resolve_target("auto", threads)
    bits = vector_bits(target)
    chains, lanes = CHAINS[bits], bits // 32
    function = tvm.compile(multiply_adds(threads, chains, lanes), target=target)["multiply_adds"]
    factors = tvm.runtime.tensor(np.full(lanes, 0.5, dtype=np.float32))
    sums = tvm.runtime.tensor(np.zeros((threads, chains * lanes), dtype=np.float32))
    return lambda: function(factors, sums), 2 * STEPS * threads * chains * lanes


def multiply_adds(threads: int, chains: int, lanes: int) -> tirx.PrimFunc:
    """Build a kernel of independent chains of multiply-adds in registers.

    Each step multiplies every sum by a factor and adds the factor. The kernel takes the factors,
    shape (lanes,), and an output for the sums, shape (threads, chains * lanes).

    Args:
        threads: Number of threads.
        chains: Number of vectors of sums in each thread.
        lanes: Number of float32 values in a vector.

    Returns:
        The kernel.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("multiply_adds")
        T.func_attr({"global_symbol": "multiply_adds", "tirx.noalias": True})
        factors = T.arg("factors", T.buffer([lanes], "float32"))
        out = T.arg("out", T.buffer([threads, chains * lanes], "float32"))
        vectors = [tirx.Ramp(first, 1, lanes) for first in range(0, chains * lanes, lanes)]
        factor = factors[vectors[0]]
        with T.parallel(0, threads) as thread:
            sums = T.alloc_buffer([chains * lanes], "float32", scope="local")
            for vector in vectors:
                T.buffer_store(sums, factor, [vector])
            with T.serial(0, STEPS):
                for vector in vectors:
                    T.buffer_store(sums, sums[vector] * factor + factor, [vector])
            for vector in vectors:
                T.buffer_store(out, sums[vector], [thread, vector])
    return builder.get()
