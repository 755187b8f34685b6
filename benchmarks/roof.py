"""The most floating-point operations a second that this machine's cores can do.

    python benchmarks/roof.py

NumPy's BLAS is no roof: on a Zen 5 it reaches half of what tuned convolutions do.
"""

from __future__ import annotations

import os

from chameleon_tuner.bench.profiling import peak_gflops
from chameleon_tuner.system.machine import thread_environment, usable_cores


def main() -> None:
    """See the module."""
    threads = usable_cores()
    os.environ.update(thread_environment(threads))  # before TVM's threads start
    for _ in range(3):
        print(f"{threads} threads: {peak_gflops(threads):.0f} GFLOP/s")


if __name__ == "__main__":
    main()
