"""A tuned model with the interface of onnxruntime's `InferenceSession`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec
from chameleon_tuner.core.errors import LibraryError, UsageError, hint

_NAMES = {"float32": "float", "float64": "double"}
"""What onnxruntime calls the types that have another name in NumPy."""


@dataclass(frozen=True)
class Argument:
    """An input or output of a model.

    Attributes:
        name: Its name in the user's model.
        shape: Its extents; None for one that depends on the data.
        type: Its type as onnxruntime writes it, such as `tensor(float)`.
    """

    name: str
    shape: list[int | None]
    type: str


class Session:
    """A tuned model that is called as onnxruntime's sessions are.

    A program that runs `onnxruntime.InferenceSession("model.onnx")` runs the tuned model with
    `chameleon_tuner.Session("tuned/")` in its place. Neither TVM's compiler nor PyTorch is loaded.

    Several threads may call a session at once; each of them starts as many workers as the session
    has threads. A folder that `chameleon tune` writes anew while a process uses it needs a new
    process.

    Args:
        folder: Folder from `chameleon tune`.
        threads: The number of threads that run the model. Without it `TVM_NUM_THREADS` decides, or
            as many as it was tuned for, but no more than there are cores that this process may use.

    Attributes:
        folder: The folder.
        threads: The number of threads that run the model.

    Raises:
        LibraryError: There is no tuned model, it is damaged, or this CPU lacks instructions that it
            was built for.
        UsageError: The number of threads is none.
    """

    def __init__(self, folder: str | PathLike[str], *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is a number of threads, not {threads}; use 1 or more")
        self.folder = Path(folder)
        self._library = Library(self.folder, threads=threads)
        self.threads = self._library.threads
        manifest = self._library.manifest
        self._inputs = [_argument(spec) for spec in manifest.inputs]
        self._outputs = [_argument(spec) for spec in manifest.outputs]

    def get_inputs(self) -> list[Argument]:
        """Return the inputs of the tuned shapes, in the order of the model."""
        return list(self._inputs)

    def get_outputs(self) -> list[Argument]:
        """Return the outputs of the tuned shapes, in the order of the model."""
        return list(self._outputs)

    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, Any],
        run_options: None = None,
    ) -> list[Any]:
        """Run the model.

        An input is a NumPy array, or whatever NumPy or DLPack's protocol makes one of, such as a
        PyTorch tensor. It is not copied where it is contiguous, of at least 16 KB, and aligned to
        64 bytes. Outputs are NumPy arrays over the memory that the model has written.

        Args:
            output_names: Names of the outputs to return; all without, as in onnxruntime.
            input_feed: Inputs by name.
            run_options: For programs that pass None; onnxruntime's options have no meaning here.

        Returns:
            The outputs, in the order of the names or of the model.

        Raises:
            LibraryError: A name is unknown, an input is missing, or has another shape or dtype.
        """
        if not output_names:
            return self._library.outputs(input_feed)
        outputs = self._library(input_feed)
        return [self._named(outputs, name) for name in output_names]

    def _named(self, outputs: Mapping[str, Any], name: str) -> Any:
        if name not in outputs:
            raise LibraryError(
                f"the model has no output {name!r}; {hint(name, outputs)}it has {[*outputs]}"
            )
        return outputs[name]


def _argument(spec: TensorSpec) -> Argument:
    return Argument(spec.name, list(spec.shape), f"tensor({_NAMES.get(spec.dtype, spec.dtype)})")
