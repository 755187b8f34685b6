"""What this machine can do at most: its arithmetic and its memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.profiling.results import Limits

_SIDE = 2048
"""Of the matrices: 17 * 10^9 operations, at which a BLAS is at its best."""

_COPIED_BYTES = 512 * 2**20
"""Several times what the caches of a desktop hold; a server's may hold much of it."""

_REPEATS = 5


def measure_limits(threads: int) -> Limits:
    """The best of some large matrix products in NumPy's BLAS, and of some large copies.

    Args:
        threads: that both may use.
    """
    rng = np.random.default_rng(0)
    left, right = (rng.random((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    with threadpool_limits(limits=threads, user_api="blas"):
        product_secs = _best(lambda: np.dot(left, right))
    return Limits(2e-9 * _SIDE**3 / product_secs, 2e-9 * _COPIED_BYTES / _copy_secs(threads))


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
