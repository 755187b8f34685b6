"""The most floating-point operations a second that this machine's cores can do: a loop of FMAs.

    python benchmarks/roof.py

NumPy's BLAS is no roof: on a Zen 5 it reaches half of what tuned convolutions do.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from chameleon_tuner.machine import usable_cores

SOURCE = r"""
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>
#ifdef __AVX512F__
enum { WIDTH = 64, CHAINS = 24 };  // of 32 registers
#else
enum { WIDTH = 32, CHAINS = 12 };  // of 16
#endif
typedef float Vector __attribute__((vector_size(WIDTH)));
static const long RUNS = 100000000;
static float sink[64];

static void work(int number, float x) {
  Vector sums[CHAINS], factor = Vector{} + x;
  for (auto& sum : sums) sum = Vector{} + x;
  for (long run = 0; run < RUNS; ++run)
#pragma GCC unroll 32
    for (int chain = 0; chain < CHAINS; ++chain) sums[chain] = sums[chain] * factor + factor;
  for (auto& sum : sums) sink[number] += sum[0];
}

int main(int count, char**) {
  for (int round = 0; round < 3; ++round) {
    auto begin = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (int n = 0; n < THREADS; ++n) threads.emplace_back(work, n, 0.5f / count);
    for (auto& thread : threads) thread.join();
    std::chrono::duration<double> secs = std::chrono::steady_clock::now() - begin;
    double flops = 2.0 * THREADS * RUNS * CHAINS * WIDTH / sizeof(float);
    std::printf("%d threads: %.0f GFLOP/s\n", THREADS, 1e-9 * flops / secs.count());
  }
}
"""


def main() -> None:
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "roof.cc", Path(folder) / "roof"
        source.write_text(SOURCE)
        options = ["-O2", "-march=native", "-pthread", f"-DTHREADS={usable_cores()}"]
        subprocess.run(["g++", *options, str(source), "-o", str(program)], check=True)
        subprocess.run([str(program)], check=True)


if __name__ == "__main__":
    main()
