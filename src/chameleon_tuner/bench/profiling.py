"""Profiles of tuned networks: the time of every kernel, and the limits of the machine."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.system.files import SUMMARY
from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores

if TYPE_CHECKING:
    from chameleon_tuner.backends.tvm.run.profile import Call


ISOLATED_ROUNDS = 3
"""Number of rounds in which each kernel is timed in isolation."""


@dataclass(frozen=True)
class MachineLimits:
    """Peak throughput of the machine, with the threads of the network and in the same session.

    Attributes:
        gflops: Peak compute throughput in 10^9 floating-point operations per second, of a loop of
            multiply-adds only.
        gbytes: Memory bandwidth in 10^9 bytes per second, read plus written, of a copy that does
            not fit into the caches.
    """

    gflops: float
    gbytes: float

    def attainable_gflops(self, intensity: float) -> float:
        """Return the roofline limit of a kernel (Williams et al. 2009).

        Args:
            intensity: Arithmetic intensity of the kernel in operations per byte.
        """
        return min(self.gflops, intensity * self.gbytes)


@dataclass(frozen=True)
class KernelProfile:
    """The profile of one kernel, summed over its calls in one call of the network.

    Attributes:
        name: Name of the kernel.
        calls: Number of calls.
        network_us: Microseconds of all calls in the order of the network; sum of the medians over
            rounds.
        isolated_us: The same, but with each call repeated by itself, so that its data are in the
            caches if they fit.
        flops: Floating-point operations of all calls; 0 if unknown or if there are none.
        bytes: Size of the arguments of all calls. A kernel may access less than that: a gather
            counts its whole table.
    """

    name: str
    calls: int
    network_us: float
    isolated_us: float
    flops: float
    bytes: int

    @property
    def gflops(self) -> float:
        """Throughput within the network, in 10^9 floating-point operations per second."""
        return self.flops / self.network_us / 1e3

    @property
    def gbytes(self) -> float:
        """Throughput within the network, in 10^9 bytes of arguments per second."""
        return self.bytes / self.network_us / 1e3

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in operations per byte."""
        return self.flops / self.bytes if self.bytes else math.inf


@dataclass(frozen=True)
class Profile:
    """The profile of a network; `profile.json` uses the same names.

    Attributes:
        model: Name of the model.
        machine: Name of the CPU.
        threads: Number of threads of the network.
        latency_us: Microseconds of one call of the network, median over rounds.
        kernels: Profiles of the kernels, slowest first.
        limits: Peak throughput of the machine.
        rounds: Number of rounds over which medians are taken.
    """

    model: str
    machine: str
    threads: int
    latency_us: float
    kernels: Sequence[KernelProfile]
    limits: MachineLimits
    rounds: int

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Profile:
        """Return the profile that `profile.json` has.

        Raises:
            KeyError: Something is missing.
            TypeError: Something is of another kind.
            ValueError: Something is no number.
        """
        limits = data["limits"]
        return Profile(
            model=str(data["model"]),
            machine=str(data["machine"]),
            threads=int(data["threads"]),
            latency_us=float(data["latency_us"]),
            kernels=[_kernel(kernel) for kernel in data["kernels"]],
            limits=MachineLimits(float(limits["gflops"]), float(limits["gbytes"])),
            rounds=int(data["rounds"]),
        )

    @property
    def kernels_us(self) -> float:
        """The total time of all kernels within the network, in microseconds."""
        return math.fsum(kernel.network_us for kernel in self.kernels)


def _kernel(data: Mapping[str, Any]) -> KernelProfile:
    return KernelProfile(
        name=str(data["name"]),
        calls=int(data["calls"]),
        network_us=float(data["network_us"]),
        isolated_us=float(data["isolated_us"]),
        flops=float(data["flops"]),
        bytes=int(data["bytes"]),
    )


_COPIED_BYTES = 512 * 2**20
"""Size of the array that is copied to measure the memory bandwidth.

It is several times as large as the caches of a desktop CPU; those of a server CPU may hold a large
part of it."""

_COPIES, _PEAK_RUNS = 5, 32
"""Number of copies (0.1 s each) and of runs of the multiply-add loop (0.01 s each)."""


def measure_limits(threads: int) -> MachineLimits:
    """Measure the limits of the machine: the best of several runs of each benchmark.

    Args:
        threads: Number of threads for both benchmarks.
    """
    return MachineLimits(peak_gflops(threads), 2e-9 * _COPIED_BYTES / _copy_secs(threads))


def peak_gflops(threads: int) -> float:
    """Measure the peak of multiply-adds in registers, in 10^9 floating-point operations/s."""
    from chameleon_tuner.backends.tvm.run.profile import peak_run  # loads TVM

    run, operations = peak_run(threads)
    return 1e-9 * operations / _best(run, _PEAK_RUNS)


def _copy_secs(threads: int) -> float:
    """Measure the shortest time, in seconds, of copying `_COPIED_BYTES` with all threads."""
    source = np.ones(_COPIED_BYTES // 4, dtype=np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        return _best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), _COPIES)


def _best(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest time of several runs, in seconds."""
    secs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        secs.append(time.perf_counter() - begin)
    return min(secs)


_CALL_SECS = 0.2
"""Minimum time per round for the whole network and for its kernels within the network."""


def profile(folder: Path, rounds: int, seed: int) -> Profile:
    """Time every kernel of a tuned network, within the network and in isolation.

    Args:
        folder: Output folder of `chameleon tune`.
        rounds: Number of rounds over which medians are taken.
        seed: Seed of the random inputs.

    Returns:
        The profile, kernels with the longest total time first.

    Raises:
        LibraryError: The folder holds no tuned library that runs on this machine.
    """
    from chameleon_tuner.backends.tvm.deploy.library import Library
    from chameleon_tuner.backends.tvm.run.profile import NetworkCalls

    flops = _flops(folder)
    os.environ.update(thread_environment(usable_cores()))  # must be set before TVM starts threads
    library = Library(folder)
    library.require_cpu()
    inputs = library.random_inputs(seed)
    recorded = NetworkCalls(library, inputs)
    with MachineLock().running():
        latencies = []
        for _ in range(rounds):  # alternately, so that a drift of the machine affects both
            latencies.append(library.time(inputs, _CALL_SECS))
            recorded.round(_CALL_SECS)
        for _ in range(ISOLATED_ROUNDS):
            recorded.isolated_round()
        limits = measure_limits(library.manifest.threads)
    return Profile(
        model=library.manifest.model,
        machine=cpu_name(),
        threads=library.manifest.threads,
        latency_us=1e6 * statistics.median(latencies),
        kernels=_kernels(recorded.calls, flops),
        limits=limits,
        rounds=rounds,
    )


def _kernels(calls: list[Call], flops: dict[str, float]) -> list[KernelProfile]:
    """Sum up the calls by kernel, slowest kernel first."""
    by_name: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_name[call.name].append(call)
    kernels = [
        KernelProfile(
            name,
            len(mine),
            1e6 * sum(statistics.median(call.network_secs) for call in mine),
            1e6 * sum(statistics.median(call.isolated_secs) for call in mine),
            len(mine) * flops.get(name, 0.0),
            sum(call.bytes for call in mine),
        )
        for name, mine in by_name.items()
    ]
    return sorted(kernels, key=lambda kernel: -kernel.network_us)


def _flops(folder: Path) -> dict[str, float]:
    """Read the operations per call, by kernel name; empty if the summary has none."""
    try:
        summary: Any = json.loads((folder / SUMMARY).read_text())
        return {
            str(name): float(task["flops"])
            for task in summary["tasks"]
            for name in task["kernels"]
            if task["flops"] is not None
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}
