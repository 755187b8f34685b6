"""The TVM backend behind `ports.backend.Backend`. Importing this module does not import TVM."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chameleon_tuner.backends.tvm import rewrites
from chameleon_tuner.ports.backend import AlgorithmInfo, Project
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Handler
from chameleon_tuner.system.machine import usable_cores

if TYPE_CHECKING:
    from tvm.target import Target

    from chameleon_tuner.backends.tvm.frontend.program import Program

HANDLER = HandlerEntry[Handler]("chameleon_tuner.backends.tvm.run.handler", "TVMHandler")
"""Where worker processes find the handler of this backend."""


@dataclass(frozen=True)
class TVMSource:
    """A model that TVM has imported, with the target that it is tuned for.

    Attributes:
        program: The model.
        target: The target.
        threads: Number of threads that kernels are tuned with.
    """

    program: Program
    target: Target
    threads: int

    @property
    def name(self) -> str:
        """See `ModelSource.name`."""
        return self.program.name

    @property
    def digest(self) -> str:
        """See `ModelSource.digest`."""
        return self.program.digest


@dataclass(frozen=True)
class TVMBackend:
    """Tunes kernels of TVM's; implements `ports.backend.Backend`.

    Attributes:
        handler: Where worker processes find their handler; tests inject faults here.
    """

    handler: HandlerEntry[Handler] = HANDLER

    @property
    def name(self) -> str:
        """See `Backend.name`."""
        return "tvm"

    @property
    def algorithms(self) -> Sequence[AlgorithmInfo]:
        """See `Backend.algorithms`."""
        return [AlgorithmInfo(found.name, found.help) for found in rewrites.registered().values()]

    def read(
        self,
        model: Any,
        target: str = "auto",
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        runnable: bool = True,
    ) -> TVMSource:
        """See `Backend.read`."""
        from chameleon_tuner.backends.tvm.frontend.program import import_model
        from chameleon_tuner.backends.tvm.network import open_target
        from chameleon_tuner.backends.tvm.targets import resolve_target

        threads = usable_cores()
        resolved = open_target(target, threads) if runnable else resolve_target(target, threads)
        return TVMSource(import_model(model, shapes), resolved, threads)

    def prepare(self, source: TVMSource, without: Collection[str] = ()) -> Project:
        """See `Backend.prepare`."""
        from chameleon_tuner.backends.tvm.network import prepare
        from chameleon_tuner.backends.tvm.project import TVMProject

        return TVMProject(prepare(source.program, source.target, source.threads, without))
