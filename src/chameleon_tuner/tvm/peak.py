"""The most arithmetic that the cores can do: a kernel of nothing but multiply-adds in registers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as T  # noqa: N812 - the name that TVM gives it everywhere

from chameleon_tuner.task import NARROW, WIDE
from chameleon_tuner.tvm.targets import resolve_target, vector_bits

CHAINS = {WIDE: 24, NARROW: 12}
"""Of independent sums, by the bits of a vector: there are 32 registers of 512, 16 of 256."""

STEPS = 1 << 22
"""Of every chain: 6 to 12 ms."""


def peak_run(threads: int) -> tuple[Callable[[], None], int]:
    """One run of the kernel on this CPU, and its floating-point operations.

    A large product of matrices is no peak: NumPy's BLAS has half of it on a Zen 5, where tuned
    convolutions have all (docs/evaluation.md).

    Args:
        threads: that run; the process is set to as many.
    """
    target = resolve_target("auto", threads)
    bits = vector_bits(target)
    chains, lanes = CHAINS[bits], bits // 32
    function = tvm.compile(multiply_adds(threads, chains, lanes), target=target)["multiply_adds"]
    factors = tvm.runtime.tensor(np.full(lanes, 0.5, dtype=np.float32))
    sums = tvm.runtime.tensor(np.zeros((threads, chains * lanes), dtype=np.float32))
    return lambda: function(factors, sums), 2 * STEPS * threads * chains * lanes


def multiply_adds(threads: int, chains: int, lanes: int) -> tirx.PrimFunc:
    """Sums of `chains` vectors in every thread, each a half of itself and a half, again and again.

    Takes factors (lanes,) and the sums (threads, chains * lanes).
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
