"""What a profile found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ISOLATED_ROUNDS = 3
"""That medians of a kernel by itself are over."""


@dataclass(frozen=True)
class Limits:
    """What the machine can do with the threads of the network, measured in the same sitting.

    Attributes:
        gflops: 10^9 floating-point operations a second, of nothing but multiply-adds.
        gbytes: 10^9 bytes a second, read and written, of a copy that fits no cache.
    """

    gflops: float
    gbytes: float

    def attainable_gflops(self, intensity: float) -> float:
        """The roof over a kernel of so many operations a byte (Williams et al. 2009)."""
        return min(self.gflops, intensity * self.gbytes)


@dataclass(frozen=True)
class KernelProfile:
    """All calls of one kernel in one call of the network.

    Attributes:
        name: of the kernel.
        calls: how many there are.
        network_us: microseconds of them where they are, behind one another; medians over rounds.
        isolated_us: the same when each is repeated, on what it finds in the caches then.
        flops: operations of all calls; 0 where that is not known or not arithmetic.
        bytes: of the arguments of all calls, which may be more than a kernel looks at: of the
            table that a gather reads from, all.
    """

    name: str
    calls: int
    network_us: float
    isolated_us: float
    flops: float
    bytes: int

    @property
    def gflops(self) -> float:
        """10^9 operations a second in the network."""
        return self.flops / self.network_us / 1e3

    @property
    def gbytes(self) -> float:
        """10^9 bytes a second in the network."""
        return self.bytes / self.network_us / 1e3

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes if self.bytes else math.inf


@dataclass(frozen=True)
class Profile:
    """A profiled network; `profile.json` has the same names.

    Attributes:
        model: its name.
        machine: name of the CPU.
        threads: that it runs with.
        latency_us: microseconds of a call, median over rounds.
        kernels: the slowest first.
        limits: of the machine.
        rounds: that the medians are over.
    """

    model: str
    machine: str
    threads: int
    latency_us: float
    kernels: Sequence[KernelProfile]
    limits: Limits
    rounds: int

    @property
    def kernels_us(self) -> float:
        """Microseconds of all kernels in the network."""
        return math.fsum(kernel.network_us for kernel in self.kernels)
