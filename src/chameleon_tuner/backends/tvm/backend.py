"""The TVM backend behind `ports.backend.Backend`. Importing this module does not import TVM."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chameleon_tuner.backends.tvm import rewrites
from chameleon_tuner.backends.tvm.rehearsal import ImportRehearsal
from chameleon_tuner.core.shapes import GivenShapes, variants
from chameleon_tuner.ports.backend import AlgorithmInfo, Designer, Project, Rehearsal
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
        programs: The model, once for every variant of shapes.
        target: The target.
        threads: Number of threads that kernels are tuned with.
        samples: Inputs on which the model is verified and timed, by name.
    """

    programs: Sequence[Program]
    target: Target
    threads: int
    samples: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """See `ModelSource.name`."""
        return self.programs[0].name

    @property
    def digest(self) -> str:
        """See `ModelSource.digest`."""
        digests = [program.digest for program in self.programs]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


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

    def load(self) -> None:
        """See `Backend.load`."""
        importlib.import_module("chameleon_tuner.backends.tvm.project")

    def rehearsal(
        self, model: Any, target: str, shapes: GivenShapes | None
    ) -> ImportRehearsal | None:
        """See `Backend.rehearsal`."""
        from chameleon_tuner.backends.tvm.frontend.files import onnx_file

        file = onnx_file(model)
        return None if file is None else ImportRehearsal(file, target, variants(shapes or {}))

    def read(
        self,
        model: Any,
        target: str = "auto",
        shapes: GivenShapes | None = None,
        *,
        samples: Mapping[str, Any] | None = None,
        rehearsal: Rehearsal | None = None,
        runnable: bool = True,
    ) -> TVMSource:
        """See `Backend.read`."""
        from chameleon_tuner.backends.tvm.frontend.program import import_model
        from chameleon_tuner.backends.tvm.frontend.tensors import fitting
        from chameleon_tuner.backends.tvm.network import open_target
        from chameleon_tuner.backends.tvm.targets import resolve_target

        threads = usable_cores()
        resolved = open_target(target, threads) if runnable else resolve_target(target, threads)
        sets = variants(shapes or {})
        tried = rehearsal if isinstance(rehearsal, ImportRehearsal) else None
        known = tried.file if tried else model
        outside = tried.outside if tried else [{} for _ in sets]
        prepared = tried.prepared if tried else [None for _ in sets]
        programs = [
            import_model(known, chosen, apart, ready)
            for chosen, apart, ready in zip(sets, outside, prepared, strict=True)
        ]
        return TVMSource(programs, resolved, threads, fitting(programs[0].inputs, samples or {}))

    def prepare(
        self,
        source: TVMSource,
        without: Collection[str] = (),
        designer: Designer | None = None,
    ) -> Project:
        """See `Backend.prepare`."""
        from chameleon_tuner.backends.tvm.network import prepare
        from chameleon_tuner.backends.tvm.project import TVMProject

        networks = [
            prepare(program, source.target, source.threads, without, designer)
            for program in source.programs
        ]
        return TVMProject(networks, source.samples, without)
