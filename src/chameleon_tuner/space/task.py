"""A tuning task: one kernel of a network, with its design space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chameleon_tuner.space import DesignSpace

DIRECT = "direct"
"""The `Task.algorithm` of a kernel that is computed as the network states it."""

WIDE, NARROW = 512, 256
"""Vector widths of CPUs in bits: with AVX-512 and without it."""


def vector_registers(bits: int) -> int:
    """Return the number of vector registers of an x86 CPU with vectors of so many bits."""
    return 32 if bits >= WIDE else 16


@dataclass(frozen=True)
class Task:
    """One distinct kernel of a network, as plain data that can be used without TVM.

    Attributes:
        name: The compiler's name for the kernel, made unique within the network.
        key: The structural hash of the module; the same kernel has the same key in every network.
        module: TVM's JSON of the module, which has one PrimFunc named `main`.
        target: TVM's JSON of the target.
        space: The design space of the kernel.
        weight: How often the network calls the kernel.
        flops: Floating-point operations of one call.
        arguments: Shapes and dtypes of the arguments, for display: `"1x56x56x64 float32"`.
        algorithm: The algorithm that computes the kernel: its name, and the variant behind it.
        computes: The key of the task whose kernel this task can replace; empty for a kernel as the
            network has it.
        vector_bits: The width of the target's vectors in bits; it selects the cost model's prior.
    """

    name: str
    key: str
    module: str = field(repr=False)
    target: Mapping[str, Any] = field(repr=False)
    space: DesignSpace = field(repr=False)
    weight: int = 1
    flops: float = 0.0
    arguments: tuple[str, ...] = ()
    algorithm: str = DIRECT
    computes: str = ""
    vector_bits: int = WIDE

    @property
    def kernel(self) -> str:
        """The key shared by all tasks for the same kernel; the network needs one of these tasks."""
        return self.computes or self.key


def by_kernel(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Group tasks by the kernel that they compute; the kernel's own task comes first."""
    kernels: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: bool(task.computes)):
        kernels.setdefault(task.kernel, []).append(task)
    return kernels
