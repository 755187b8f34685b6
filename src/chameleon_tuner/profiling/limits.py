"""What this machine can do at most: its arithmetic and its memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from chameleon_tuner.profiling.results import Limits

_COPIED_BYTES = 512 * 2**20
"""Several times what the caches of a desktop hold; a server's may hold much of it."""

_REPEATS = 5


def measure_limits(threads: int) -> Limits:
    """The best of some runs of nothing but multiply-adds, and of some large copies.

    Args:
        threads: that both may use.
    """
    from chameleon_tuner.tvm.peak import peak_gflops  # loads TVM

    return Limits(peak_gflops(threads), 2e-9 * _COPIED_BYTES / _copy_secs(threads))


def _copy_secs(threads: int) -> float:
    source = np.ones(_COPIED_BYTES // 4, dtype=np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        return _best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))


def _best(run: Callable[[], object]) -> float:
    secs = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        run()
        secs.append(time.perf_counter() - begin)
    return min(secs)
