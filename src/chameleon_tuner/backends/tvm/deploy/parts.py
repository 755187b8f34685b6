"""Parts of a library that run in onnxruntime, on the same memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm_ffi

from chameleon_tuner.backends.tvm.deploy.runtime import copied
from chameleon_tuner.backends.tvm.frontend.sessions import open_session, short

PARTS = "parts"
"""Folder of the parts, each of which is an ONNX file."""

FAILED = "onnxruntime does not run a part of the model"
"""How the message begins of an error in a part."""


@dataclass(frozen=True)
class PartSpec:
    """A part of a library.

    Attributes:
        name: Name by which the code calls it.
        file: Path of its ONNX file in the folder of the library.
        operators: Its operators, for people.
        static: Whether its outputs have known shapes, so that the code gives it memory for them.
    """

    name: str
    file: str
    operators: tuple[str, ...]
    static: bool


class PartSession:
    """A part that is open in onnxruntime, and that compiled code calls by its name.

    Args:
        spec: The part.
        path: Its ONNX file.
        threads: Number of threads.

    Attributes:
        name: Name of the part.
        secs: Seconds that all calls took so far.
    """

    def __init__(self, spec: PartSpec, path: Path, threads: int) -> None:
        self.name, self.secs = spec.name, 0.0
        # Spinning threads would take the cores away from TVM's, which run right after a part.
        self._session = open_session(str(path), threads, spinning=False)
        self._inputs = [(value.name, _type(value)) for value in self._session.get_inputs()]
        self._outputs = [(value.name, _type(value)) for value in self._session.get_outputs()]
        self._bindings = threading.local()
        called = self._into if spec.static else self._returned
        tvm_ffi.register_global_func(spec.name, self._timed(called), override=True)

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*tensors: Any) -> Any:
            begin = time.perf_counter()
            result = call(*tensors)
            self.secs += time.perf_counter() - begin
            return result

        return timed

    def _into(self, *tensors: Any) -> None:
        """Run the part on inputs, and write the outputs into the tensors that follow them."""
        binding = self._bound(tensors)
        given = tensors[len(self._inputs) :]
        for (name, dtype), tensor in zip(self._outputs, given, strict=True):
            binding.bind_output(name, "cpu", 0, dtype, tensor.shape, tensor.data_ptr())
        self._run(binding)

    def _returned(self, *tensors: Any) -> Any:
        """Run the part on inputs, and return new tensors."""
        binding = self._bound(tensors)
        for name, _ in self._outputs:
            binding.bind_output(name, "cpu")
        self._run(binding)
        arrays = binding.copy_outputs_to_cpu()
        returned = [copied(array) for array in arrays]
        return returned[0] if len(returned) == 1 else returned

    def _run(self, binding: Any) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise RuntimeError(f"{FAILED}: {short(error)}") from None  # TVM makes it of all others

    def _bound(self, tensors: Sequence[Any]) -> Any:
        if not hasattr(self._bindings, "binding"):
            self._bindings.binding = self._session.io_binding()
        binding = self._bindings.binding
        for (name, dtype), tensor in zip(self._inputs, tensors, strict=False):
            binding.bind_input(name, "cpu", 0, dtype, tensor.shape, tensor.data_ptr())
        return binding


def _type(value: Any) -> int:
    """Return the element type of an input or output as ONNX numbers it."""
    from onnx import TensorProto

    names = {"float": "FLOAT", "double": "DOUBLE", "bool": "BOOL", "float16": "FLOAT16"}
    name = value.type.removeprefix("tensor(").removesuffix(")")
    return int(getattr(TensorProto, names.get(name, name.upper())))
