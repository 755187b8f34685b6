"""The search for operators that TVM computes wrongly, in a worker; onnxruntime is right.

Importing this module does not import TVM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile
from chameleon_tuner.core.agreement import TOLERANCE, difference
from chameleon_tuner.core.errors import last_line
from chameleon_tuner.core.shapes import Shapes
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.files import ScratchFolder
from chameleon_tuner.system.notes import Notes

if TYPE_CHECKING:
    import onnx

    from chameleon_tuner.backends.tvm.frontend.nodes import Kind
    from chameleon_tuner.backends.tvm.frontend.program import Ready

_MOST_CRASHES = 5


@dataclass(frozen=True)
class FindWrong(Request[object, "Mapping[str, str]"]):
    """Compare every kind of node by itself with onnxruntime.

    Attributes:
        file: The ONNX file.
        shapes: Static shapes by name of the input.
        outside: Reasons of nodes that run in onnxruntime already.
        inputs: The inputs for which the whole model is wrong.
        notes: Say what is being done, for the case that the process dies.
    """

    file: OnnxFile
    shapes: Shapes
    outside: Mapping[str, str]
    inputs: Mapping[str, Any] = field(repr=False)
    notes: Notes
    stage: ClassVar[str] = "comparison of operators"

    def answered_by(self, handler: object) -> Mapping[str, str]:
        """See `Request.answered_by`."""
        return dict(_wrong(self))


class Mending:
    """The search for wrong operators of one model; implements `ports.backend.Rehearsal`.

    Args:
        file: The ONNX file.
        shapes: Static shapes by name of the input.
        outside: Reasons of nodes that run in onnxruntime already.
        inputs: The inputs for which the whole model is wrong.

    Attributes:
        wrong: Why nodes have to run in onnxruntime, by the name of their first output.
    """

    def __init__(
        self,
        file: OnnxFile,
        shapes: Shapes,
        outside: Mapping[str, str],
        inputs: Mapping[str, Any],
    ) -> None:
        self.wrong: dict[str, str] = {}
        self._file, self._shapes, self._inputs = file.elsewhere(), shapes, inputs
        self._outside = dict(outside)
        self._scratch = ScratchFolder()
        self._notes = Notes(self._scratch.path / "notes.json")
        self._crashes, self._done = 0, False

    def request(self) -> FindWrong | None:
        """See `Rehearsal.request`."""
        if self._done:
            return None
        outside = {**self._outside, **self.wrong}
        return FindWrong(self._file, self._shapes, outside, self._inputs, self._notes)

    def answered(self, answer: Mapping[str, str]) -> None:
        """See `Rehearsal.answered`."""
        self.wrong |= answer
        self._done = True

    def failed(self, failure: Failed) -> None:
        """See `Rehearsal.failed`."""
        self._crashes += 1
        names = self._notes.read().get("nodes", [])
        self._done = not names or self._crashes > _MOST_CRASHES
        self.wrong |= dict.fromkeys(names, f"TVM's code ends its process: {failure.told}")


# -- in the worker


def _wrong(request: FindWrong) -> Iterator[tuple[str, str]]:
    from chameleon_tuner.backends.tvm.frontend.nodes import kinds_of
    from chameleon_tuner.backends.tvm.frontend.program import ready

    prepared = ready(request.file, request.shapes)
    kinds = kinds_of(prepared.model, request.outside, prepared.folder)
    wanted = {value.name for kind in kinds for value in kind.model.graph.input}
    values = {**request.inputs, **_values(prepared, wanted, request.inputs)}
    for kind in kinds:
        request.notes.write(nodes=kind.names)
        given = {value.name: values[value.name] for value in kind.model.graph.input}
        why = _compared(kind, given)
        if why:
            yield from dict.fromkeys(kind.names, why).items()


def _compared(kind: Kind, given: Mapping[str, Any]) -> str:
    """Return what is wrong with a node; empty if nothing is."""
    from chameleon_tuner.backends.tvm.immediate import compile_now

    try:
        mine = compile_now(kind.model)(given)
    except Exception as error:
        return f"TVM does not run {kind.operator}: {last_line(error)}"
    apart = difference(mine, _run(kind.model, given))
    if apart <= TOLERANCE:
        return ""
    return f"TVM computes another {kind.operator} (differs by {apart:.1g})"


def _values(prepared: Ready, wanted: set[str], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of intermediate results in onnxruntime, by name."""
    import onnx
    from onnx import external_data_helper

    model = prepared.model
    inner = [value for value in model.graph.value_info if value.name in wanted]
    outputs = [value for value in model.graph.output if value.name in wanted]
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    external_data_helper.load_external_data_for_model(exposed, str(prepared.folder))
    del exposed.graph.output[:]
    exposed.graph.output.extend([*inner, *outputs])
    names = [value.name for value in exposed.graph.output]
    return dict(zip(names, _run(exposed, inputs), strict=True)) if names else {}


def _run(model: onnx.ModelProto, inputs: Mapping[str, Any]) -> list[Any]:
    from chameleon_tuner.backends.tvm.frontend.sessions import open_session
    from chameleon_tuner.system.machine import usable_cores

    session = open_session(model.SerializeToString(), usable_cores(), optimized=False)
    return list(session.run(None, dict(inputs)))
