"""The search for operators that TVM computes wrongly, in a worker; onnxruntime is right.

Importing this module does not import TVM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from chameleon_tuner.core.agreement import difference
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.files import ScratchFolder

if TYPE_CHECKING:
    import onnx

    from chameleon_tuner.backends.tvm.frontend.nodes import Kind
    from chameleon_tuner.backends.tvm.frontend.program import Ready

WRONG = 1e-3
"""Difference from which on an operator is wrong, as of a whole model."""

_MOST_CRASHES = 5


@dataclass(frozen=True)
class FindWrong(Request[object, "Mapping[str, str]"]):
    """Compare every kind of node by itself with onnxruntime.

    Attributes:
        model: Path of the ONNX file.
        shapes: Static shapes by name of the input.
        outside: Reasons of nodes that run in onnxruntime already.
        inputs: The inputs for which the whole model is wrong.
        notes: Path of a file that says what is being done, for the case that the process dies.
    """

    model: str
    shapes: Mapping[str, Sequence[int]]
    outside: Mapping[str, str]
    inputs: Mapping[str, Any] = field(repr=False)
    notes: str
    stage: ClassVar[str] = "comparison of operators"

    def answered_by(self, handler: object) -> Mapping[str, str]:
        """See `Request.answered_by`."""
        return dict(_wrong(self))


class Mending:
    """The search for wrong operators of one model; implements `ports.backend.Rehearsal`.

    Args:
        model: Path of the ONNX file.
        shapes: Static shapes by name of the input.
        outside: Reasons of nodes that run in onnxruntime already.
        inputs: The inputs for which the whole model is wrong.

    Attributes:
        wrong: Why nodes have to run in onnxruntime, by the name of their first output.
    """

    def __init__(
        self,
        model: Path,
        shapes: Mapping[str, Sequence[int]],
        outside: Mapping[str, str],
        inputs: Mapping[str, Any],
    ) -> None:
        self.wrong: dict[str, str] = {}
        self._model, self._shapes, self._inputs = str(model), shapes, inputs
        self._outside = dict(outside)
        self._scratch = ScratchFolder()
        self._notes = self._scratch.path / "notes.json"
        self._crashes, self._done = 0, False

    def request(self) -> FindWrong | None:
        """See `Rehearsal.request`."""
        if self._done:
            return None
        outside = {**self._outside, **self.wrong}
        return FindWrong(self._model, self._shapes, outside, self._inputs, str(self._notes))

    def answered(self, answer: Mapping[str, str]) -> None:
        """See `Rehearsal.answered`."""
        self.wrong |= answer
        self._done = True

    def failed(self, failure: Failed) -> None:
        """See `Rehearsal.failed`."""
        self._crashes += 1
        names = _read(self._notes)
        self._done = not names or self._crashes > _MOST_CRASHES
        self.wrong |= dict.fromkeys(names, f"TVM's code ends its process: {failure.told}")


def _read(notes: Path) -> list[str]:
    return list(json.loads(notes.read_text())) if notes.exists() else []


# -- in the worker


def _wrong(request: FindWrong) -> Iterator[tuple[str, str]]:
    from chameleon_tuner.backends.tvm.frontend.nodes import kinds_of
    from chameleon_tuner.backends.tvm.frontend.program import ready
    from chameleon_tuner.backends.tvm.frontend.reading import read_onnx

    prepared = ready(read_onnx(Path(request.model)), request.shapes)
    kinds = kinds_of(prepared.model, request.outside, prepared.folder)
    wanted = {value.name for kind in kinds for value in kind.model.graph.input}
    values = {**request.inputs, **_values(prepared, wanted, request.inputs)}
    for kind in kinds:
        Path(request.notes).write_text(json.dumps(kind.names))
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
        lines = str(error).splitlines() or [type(error).__name__]
        return f"TVM does not run {kind.operator}: {lines[-1][:120]}"
    apart = difference(mine, _run(kind.model, given))
    return (
        "" if apart <= WRONG else f"TVM computes another {kind.operator} (differs by {apart:.1g})"
    )


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
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(inputs)))
