"""What this machine can do at most: its arithmetic and its memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from chameleon_tuner.profiling.results import Limits

_COPIED_BYTES = 512 * 2**20
"""Several times what the caches of a desktop hold; a server's may hold much of it."""

_COPIES, _PEAK_RUNS = 5, 32
"""0.1 s and 0.01 s each."""


def measure_limits(threads: int) -> Limits:
    """The best of some runs of nothing but multiply-adds, and of some large copies.

    Args:
        threads: that both may use.
    """
    return Limits(peak_gflops(threads), 2e-9 * _COPIED_BYTES / _copy_secs(threads))


def peak_gflops(threads: int) -> float:
    """10^9 floating-point operations a second of nothing but multiply-adds in registers."""
    from chameleon_tuner.tvm.peak import peak_run  # loads TVM

    run, operations = peak_run(threads)
    return 1e-9 * operations / _best(run, _PEAK_RUNS)


def _copy_secs(threads: int) -> float:
    source = np.ones(_COPIED_BYTES // 4, dtype=np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        return _best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), _COPIES)


def _best(run: Callable[[], object], repeats: int) -> float:
    secs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        secs.append(time.perf_counter() - begin)
    return min(secs)
