"""Chameleon by the interface for ONNX backends, `onnx.backend.base`: models run without tuning.

>>> from chameleon_tuner.onnx_backend import ChameleonBackend
>>> outputs = ChameleonBackend.run_model(model, [array])  # doctest: +SKIP

A model is compiled when it is first run on inputs of a kind. Inputs that decide on shapes or
attributes become constants, so another value of theirs is another compilation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import defs, helper
from onnx.backend.base import Backend, BackendRep

from chameleon_tuner.backends.tvm.frontend.deciding import deciding_inputs, small, specialised
from chameleon_tuner.backends.tvm.frontend.narrow import carried, restored, widened
from chameleon_tuner.backends.tvm.frontend.sessions import open_session, short
from chameleon_tuner.backends.tvm.immediate import Call, compile_now, without_functions
from chameleon_tuner.core.agreement import TOLERANCE, difference
from chameleon_tuner.core.errors import LibraryError, ModelError
from chameleon_tuner.system.machine import usable_cores

Array = npt.NDArray[Any]

KEPT = 32
"""Compilations of a model that are kept, the latest ones."""


class ChameleonBackendRep(BackendRep):
    """A model that is ready to run.

    Args:
        model: The model.

    Raises:
        ModelError: An output is no tensor.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = without_functions(model)
        graph = self._model.graph
        weights = {tensor.name for tensor in graph.initializer}
        self._names = [value.name for value in graph.input if value.name not in weights]
        self._deciding = [name for name in deciding_inputs(self._model) if name in self._names]
        self._elements = [_element(value) for value in graph.output]
        self._compiled: dict[Any, Call] = {}

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run the model.

        Args:
            inputs: Arrays by name, or in the order of the model's inputs, or a single array.
            kwargs: Options, of which there are none.

        Returns:
            The outputs, in the model's order.

        Raises:
            ModelError: An input is missing or is no tensor, or TVM does not compile the model.
        """
        given = self._by_name(inputs)
        call = self._call(given)
        found = call({name: carried(array) for name, array in given.items()})
        return tuple(map(restored, found, self._elements))

    def _call(self, given: Mapping[str, Array]) -> Call:
        """Return the compiled model for inputs of this kind."""
        names = {name for name in self._deciding if small(given[name])}
        key = tuple(
            (array.shape, array.dtype.name, array.tobytes() if name in names else b"")
            for name, array in given.items()
        )
        if key not in self._compiled:
            if len(self._compiled) == KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = compile_now(widened(specialised(self._model, given, names)))
        return self._compiled[key]

    def _by_name(self, inputs: Any) -> dict[str, Array]:
        values = inputs if isinstance(inputs, list | tuple | Mapping) else [inputs]
        if not isinstance(values, Mapping):
            if len(values) != len(self._names):
                raise ModelError(f"the model has {len(self._names)} inputs, not {len(values)}")
            values = dict(zip(self._names, values, strict=True))
        missing = [name for name in self._names if name not in values]
        if missing:
            raise ModelError(f"input {missing[0]!r} is missing; the inputs are {self._names}")
        return {name: _array(name, values[name]) for name in self._names}


class VerifiedRep(BackendRep):
    """A model that is compared with onnxruntime at the first run for inputs of a kind.

    What TVM does not compile, or computes otherwise, runs in onnxruntime from then on.

    Args:
        model: The model.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._content = model.SerializeToString()
        self._right: dict[Any, bool] = {}
        self._session: Any = None
        self._mine: ChameleonBackendRep | None = None
        self._refusal = ""
        try:
            self._mine = ChameleonBackendRep(model)
        except Exception as error:  # whatever a third party's code raises
            self._refusal = str(error)

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Run the model; see `ChameleonBackendRep.run`.

        Raises:
            ModelError: Neither TVM nor onnxruntime runs the model.
        """
        kind = _kind(inputs)
        if self._right.get(kind):
            return self._compiled(inputs)
        try:
            mine = self._compiled(inputs) if self._right.get(kind) is None else None
        except Exception as error:  # whatever a third party's code raises
            mine, self._refusal = None, str(error)
        try:
            theirs = self._theirs(inputs)
        except LibraryError as error:
            if mine is None:
                raise ModelError(f"{self._refusal or 'TVM is wrong'}; {error}") from None
            self._right[kind] = True  # there is nothing to compare with
            return mine
        self._right[kind] = mine is not None and difference(mine, theirs) <= TOLERANCE
        return mine if mine is not None and self._right[kind] else theirs

    def _compiled(self, inputs: Any) -> tuple[Any, ...]:
        if self._mine is None:
            raise ModelError(self._refusal)
        return self._mine.run(inputs)

    def _theirs(self, inputs: Any) -> tuple[Any, ...]:
        if self._session is None:
            self._session = open_session(self._content, usable_cores())
        names = [value.name for value in self._session.get_inputs()]
        values = inputs if isinstance(inputs, list | tuple | Mapping) else [inputs]
        given = values if isinstance(values, Mapping) else dict(zip(names, values, strict=False))
        try:
            found = self._session.run(None, {n: v for n, v in given.items() if v is not None})
        except Exception as error:
            raise LibraryError(f"onnxruntime does not run the model: {short(error)}") from None
        return tuple(found)


def _kind(inputs: Any) -> Any:
    """Return what is the same for inputs that the same code runs."""
    values = inputs.values() if isinstance(inputs, Mapping) else inputs
    listed = list(values) if isinstance(values, list | tuple) or isinstance(inputs, Mapping) else []
    return tuple((np.shape(v), str(getattr(v, "dtype", ""))) for v in listed or [inputs])


def _element(output: onnx.ValueInfoProto) -> int:
    if output.type.WhichOneof("value") != "tensor_type":
        raise ModelError(f"output {output.name!r} is no tensor; only tensors can be outputs")
    return int(output.type.tensor_type.elem_type)


def _array(name: str, value: Any) -> Array:
    if value is None or isinstance(value, list | tuple):
        raise ModelError(f"input {name!r} is no tensor; only tensors of numbers can be inputs")
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        raise ModelError(f"input {name!r} holds strings; only tensors of numbers can be inputs")
    return array


class ChameleonBackend(Backend):
    """Chameleon as an ONNX backend, on the CPU."""

    @classmethod
    def prepare(
        cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any
    ) -> ChameleonBackendRep | VerifiedRep:
        """Return a model that is ready to run.

        Args:
            model: The model.
            device: `CPU`.
            kwargs: `fallback=False` leaves nothing to onnxruntime, and compares nothing with it.

        Returns:
            The model.

        Raises:
            ModelError: The device is another one, or an output is no tensor.
        """
        if not cls.supports_device(device):
            raise ModelError(f"there is no device {device!r} for ONNX models; use CPU")
        return VerifiedRep(model) if kwargs.get("fallback", True) else ChameleonBackendRep(model)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run a single operator.

        Args:
            node: The operator.
            inputs: Arrays in the order of its inputs.
            device: `CPU`.
            outputs_info: Not needed: dtypes and shapes follow from the inputs.
            kwargs: `opset_version`; the newest one without it.

        Returns:
            Its outputs.

        Raises:
            ModelError: TVM does not compile the operator.
        """
        arrays = dict(zip(filter(None, node.input), inputs, strict=True))
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in ((name, np.asarray(value)) for name, value in arrays.items())
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        version = kwargs.get("opset_version", defs.onnx_opset_version())
        opsets = [helper.make_opsetid(node.domain, version)]
        graph = helper.make_graph([node], "node", given, outputs)
        model = helper.make_model(graph, opset_imports=opsets)
        return cls.prepare(onnx.shape_inference.infer_shapes(model), device).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether models run on a device, such as `CPU` or `CUDA:1`."""
        return device.partition(":")[0] == "CPU"
