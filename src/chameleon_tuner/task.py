"""A tuning task: one kernel of a network, with its design space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chameleon_tuner.space import Configuration, DesignSpace

DIRECT = "direct"

WIDE, NARROW = 512, 256
"""Bits of a CPU's vectors: with AVX-512, and without. Of a width are 32 registers, or 16."""


@dataclass(frozen=True)
class Task:
    """One distinct kernel of a network. Plain data: nothing here needs TVM.

    Attributes:
        name: as the compiler named it, made unique within the network.
        key: structural hash of its module; the same kernel has the same key in every network.
        module: TVM's JSON of the module, one PrimFunc named `main`.
        target: TVM's JSON of the target.
        space: its design space.
        weight: how often the network calls it.
        flops: floating-point operations of one call.
        arguments: shapes and dtypes of its arguments, for people: `"1x56x56x64 float32"`.
        algorithm: how it computes what the kernel does, for people.
        computes: key of the task whose kernel it may take the place of; empty for a kernel as the
            network has it.
        vector_bits: of the target's vectors, which decide over what is known of it beforehand.
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
        """The same for all tasks of which the network needs one: the key of the kernel's own."""
        return self.computes or self.key


@dataclass(frozen=True)
class Finalist:
    """A candidate that may be deployed.

    Attributes:
        task: whose kernel it is.
        configuration: of that task.
    """

    task: Task
    configuration: Configuration


@dataclass(frozen=True)
class Final:
    """The last comparison of a kernel.

    Attributes:
        task: whose untuned kernel takes part.
        finalists: candidates that compute it.
    """

    task: Task
    finalists: Sequence[Finalist]


def by_kernel(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    """Tasks by the kernel that they compute; the kernel's own task comes first."""
    kernels: dict[str, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: bool(task.computes)):
        kernels.setdefault(task.kernel, []).append(task)
    return kernels
