"""The import of an ONNX file tried in a worker: what TVM refuses, or dies of, is left outside.

Importing this module does not import TVM.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from chameleon_tuner.backends.tvm.frontend.cutting import EVERYTHING, identity
from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile
from chameleon_tuner.core.errors import ChameleonError, ModelError, TargetError, last_line
from chameleon_tuner.core.shapes import Shapes
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.files import ScratchFolder
from chameleon_tuner.system.notes import Notes

if TYPE_CHECKING:
    import onnx
    from tvm.target import Target

    from chameleon_tuner.backends.tvm.frontend.program import Ready

MOST_CRASHES = 5
"""Crashes after which no node is left to TVM."""

_DIED = "TVM ends its process on"


@dataclass(frozen=True)
class Tried:
    """What came of an import.

    Attributes:
        outside: Why nodes have to run in onnxruntime, by the name of their first output.
        prepared: The model made ready, with its weights in the scratch folder; None after an error.
        error: Why the model cannot be imported at all; None if it can.
    """

    outside: Mapping[str, str]
    prepared: Ready | None
    error: ChameleonError | None = None


@dataclass(frozen=True)
class TryImport(Request[object, Tried]):
    """Import and lower a model.

    Attributes:
        file: The ONNX file.
        target: Name of the target.
        shapes: Static shapes by name of the input.
        outside: Reasons of nodes that are known to run in onnxruntime.
        scratch: A folder for the prepared model.
        notes: Say what is being done, for the case that the process dies.
        alone: Whether every kind of node is lowered by itself first.
    """

    file: OnnxFile
    target: str
    shapes: Shapes
    outside: Mapping[str, str]
    scratch: Path
    notes: Notes
    alone: bool
    stage: ClassVar[str] = "import"

    def answered_by(self, handler: object) -> Tried:
        """See `Request.answered_by`."""
        try:
            return _tried(self)
        except ChameleonError as error:
            kind = TargetError if isinstance(error, TargetError) else ModelError
            return Tried({}, None, kind(str(error)))  # errors with more than a text are not pickled


class ImportRehearsal:
    """The tries of one model; implements `ports.backend.Rehearsal`.

    Args:
        file: The ONNX file.
        target: Name of the target.
        variants: Static shapes by name of the input, for every variant.

    Attributes:
        file: The ONNX file.
        outside: What was found out for every variant, see `Tried.outside`.
        prepared: Every variant made ready.
    """

    def __init__(self, file: OnnxFile, target: str, variants: Sequence[Shapes]) -> None:
        self.file = file
        self.outside: list[dict[str, str]] = [{} for _ in variants]
        self._target = target
        self._variants, self._number = variants, 0
        self.prepared: list[Ready] = []
        self._scratch = ScratchFolder()
        self._crashes, self._alone = 0, False

    def request(self) -> TryImport | None:
        """See `Rehearsal.request`."""
        if self._number == len(self._variants):
            return None
        shapes, known = self._variants[self._number], self.outside[self._number]
        scratch = self._scratch.path / str(self._number)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        self._notes = Notes(scratch / "notes.json")
        return TryImport(
            self.file.elsewhere(), self._target, shapes, known, scratch, self._notes, self._alone
        )

    def answered(self, answer: Tried) -> None:
        """See `Rehearsal.answered`."""
        if answer.prepared is None:
            raise answer.error or ModelError("the model was not made ready")
        self.prepared.append(answer.prepared)
        self.outside[self._number] = dict(answer.outside)
        self._number += 1
        self._crashes, self._alone = 0, False

    def failed(self, failure: Failed) -> None:
        """See `Rehearsal.failed`."""
        self._crashes += 1
        doing = self._notes.read()
        if doing.get("stage") == "onnxruntime":
            raise ModelError(
                f"onnxruntime died while it read the model ({failure.told}); "
                "check that the file is whole, and export it again"
            )
        nodes, outside = doing.get("nodes"), self.outside[self._number]
        if EVERYTHING in outside:
            raise ModelError(f"the model cannot be imported: {failure.told}")
        if self._crashes > MOST_CRASHES:
            outside[EVERYTHING] = f"{_DIED} several nodes"
        elif nodes:
            outside |= dict.fromkeys(nodes, f"{_DIED} {doing.get('operator')}: {failure.told}")
        elif not self._alone:
            self._alone = True  # a pass died: find the node that it died of
        else:
            outside[EVERYTHING] = f"{_DIED} the whole graph: {failure.told}"


# -- in the worker


def _tried(request: TryImport) -> Tried:
    from chameleon_tuner.backends.tvm.frontend.program import ready
    from chameleon_tuner.backends.tvm.targets import resolve_target
    from chameleon_tuner.system.machine import usable_cores

    target = resolve_target(request.target, usable_cores())
    request.notes.write(stage="onnxruntime")
    prepared = ready(request.file, request.shapes, request.scratch)
    request.notes.write()
    trial = _Trial(prepared, target, request.notes)
    outside = dict(request.outside)
    if request.alone:
        outside |= trial.refused_alone(outside)
    return Tried(trial.lowered(outside), prepared)


@dataclass(frozen=True)
class _Trial:
    """The lowering of a model, which may raise anything."""

    prepared: Ready
    target: Target
    notes: Notes

    def lowered(self, outside: Mapping[str, str]) -> Mapping[str, str]:
        """Lower a model, and return why nodes of it have to be outside."""
        known, error = self._lower(self.prepared, outside, _noting(self.notes))
        if not error:
            return known
        found = self.refused_alone(known) or {EVERYTHING: f"TVM does not lower it: {error}"}
        known, error = self._lower(self.prepared, {**known, **found})
        return {**known, EVERYTHING: f"TVM does not lower it: {error}"} if error else known

    def refused_alone(self, outside: Mapping[str, str]) -> dict[str, str]:
        """Lower one node of every kind by itself, and return why nodes cannot be."""
        from chameleon_tuner.backends.tvm.frontend.nodes import kinds_of

        found: dict[str, str] = {}
        for kind in kinds_of(self.prepared.model, outside, self.prepared.folder):
            self.notes.write(nodes=kind.names, operator=kind.operator)
            alone = replace(self.prepared, model=kind.model)
            _, error = self._lower(alone, {})
            if error:
                found |= dict.fromkeys(kind.names, f"TVM does not lower {kind.operator}: {error}")
        self.notes.write()
        return found

    def _lower(
        self,
        prepared: Ready,
        outside: Mapping[str, str],
        converting: AbstractContextManager[None] | None = None,
    ) -> tuple[Mapping[str, str], str]:
        """Return why nodes are outside, and why the rest cannot be lowered; empty if it can."""
        from chameleon_tuner.backends.tvm.frontend.program import converted
        from chameleon_tuner.backends.tvm.lower.graph import fuse, lay_out

        with converting or nullcontext():
            graph, module = converted(prepared, outside)
        try:
            fuse(lay_out(module, self.target), self.target)
        except Exception as error:  # whatever a pass raises
            return graph.outside, last_line(error)
        return graph.outside, ""


@contextmanager
def _noting(notes: Notes) -> Iterator[None]:
    """Write down which node is converted, in case that it ends the process."""
    from chameleon_tuner.backends.tvm.frontend.onnx import telling

    def note(node: onnx.NodeProto) -> None:
        notes.write(nodes=[identity(node)], operator=node.op_type)

    with telling(note):
        yield
    notes.write()
