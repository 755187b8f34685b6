"""Request handlers of the runtimes' processes: open a model, compute its outputs, time it.

Every runtime is configured for the latency of single calls in float32, with the same number of
threads. It is imported only when a model is opened, so that the process that forks the workers does
not load it.
"""

from __future__ import annotations

import abc
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from chameleon_tuner.ports.handler import Request
from chameleon_tuner.system.clock import mean_secs


@dataclass(frozen=True)
class Facts:
    """The facts about a tuned library that the other runtimes need.

    Attributes:
        model: Name of the model.
        threads: Number of threads of the library.
        inputs: Random input arrays by name, in the order of the model's inputs.
    """

    model: str
    threads: int
    inputs: Mapping[str, Any]


class RunsModel(Protocol):
    """A handler that runs a model that it has opened."""

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Return the outputs in the model's order; the inputs are kept for `time`."""
        ...

    def time(self, at_least_secs: float) -> float:
        """Return the seconds of a call, the mean of as many as fill the time, at least one."""
        ...


class Chameleon:
    """The handler that runs a tuned library."""

    def open(self, folder: str, seed: int) -> Facts:
        """Load the library of a folder.

        Args:
            folder: Output folder of `chameleon tune`.
            seed: Seed of the random inputs.

        Returns:
            Name, threads and random inputs for the other runtimes.

        Raises:
            LibraryError: The folder holds no library that runs on this machine.
        """
        from chameleon_tuner.backends.tvm.deploy.library import Library

        self._library = Library(Path(folder))
        self._library.require_cpu()
        manifest = self._library.manifest
        return Facts(manifest.model, manifest.threads, self._library.random_inputs(seed))

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Return the outputs in the model's order; the inputs are kept for `time`."""
        self._inputs = inputs
        return list(self._library(inputs).values())

    def time(self, at_least_secs: float) -> float:
        """Return the mean seconds per call, of calls that take at least the given time."""
        return self._library.time(self._inputs, at_least_secs)


class Runner(abc.ABC):
    """A handler that runs an ONNX file in another runtime."""

    @abc.abstractmethod
    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """Load a model.

        Args:
            model: Path of an ONNX file.
            threads: Number of threads that the runtime may use.
            shapes: Input shapes by name.
        """

    @abc.abstractmethod
    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Return the outputs in the model's order; the inputs are kept for `time`."""

    @abc.abstractmethod
    def run(self) -> Any:
        """Call the model once on the inputs of the last call of `outputs`."""

    def time(self, at_least_secs: float) -> float:
        """Return the mean seconds per call, of calls that take at least the given time."""
        return mean_secs(self.run, at_least_secs)


class OnnxRuntime(Runner):
    """onnxruntime on the CPU with all graph optimisations, which is its default."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """See `Runner`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """See `Runner`."""
        self._inputs = dict(inputs)
        return list(self.run())

    def run(self) -> Any:
        """See `Runner`."""
        return self._session.run(None, self._inputs)


class OpenVino(Runner):
    """OpenVINO on the CPU with one inference request, which is reused for every call."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """See `Runner`."""
        openvino: Any = importlib.import_module("openvino")
        core = openvino.Core()
        network = core.read_model(model)
        if network.is_dynamic():
            network.reshape({name: list(shape) for name, shape in shapes.items()})
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # On a CPU with AMX the default is bfloat16, but the other runtimes compute in float32.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._request = core.compile_model(network, "CPU", settings).create_infer_request()
        self._tensor = openvino.Tensor

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """See `Runner`."""
        for name, array in inputs.items():
            self._request.set_tensor(name, self._tensor(array))
        self.run()
        return [tensor.data.copy() for tensor in self._request.output_tensors]

    def run(self) -> Any:
        """See `Runner`."""
        return self._request.infer(share_outputs=True)


class TorchCompile(Runner):
    """PyTorch's `torch.compile` on the converted model; it needs a C++ compiler."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """See `Runner`."""
        import torch

        converter: Any = _onnx2torch(torch)
        torch.set_num_threads(threads)
        # Freezing folds constants and changes the layout of weights, as the other runtimes do.
        self._module: Any = torch.compile(
            converter.convert(model).eval(), options={"freezing": True}
        )
        self._torch: Any = torch

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """See `Runner`. The first call compiles, which takes minutes for a large network."""
        self._inputs = [self._torch.from_numpy(array) for array in inputs.values()]
        returned = self.run()
        several = isinstance(returned, list | tuple)
        return [tensor.numpy() for tensor in (returned if several else [returned])]

    def run(self) -> Any:
        """See `Runner`."""
        with self._torch.inference_mode():  # required by freezing
            return self._module(*self._inputs)


def _onnx2torch(torch: Any) -> Any:
    """Import the converter `onnx2torch`, which imports torchvision.

    A torchvision that was built for another PyTorch (for example with CUDA) cannot load its
    compiled operators, and then fails on import when it describes them. The converter does not
    need these operators, so they are declared here and the import is repeated.
    """
    try:
        return importlib.import_module("onnx2torch")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [
            name for name in sys.modules if name.startswith(("torchvision", "onnx2torch"))
        ]:
            del sys.modules[name]
        return importlib.import_module("onnx2torch")


# -- requests to the processes


@dataclass(frozen=True)
class OpenFolder(Request[Chameleon, Facts]):
    """See `Chameleon.open`."""

    folder: str
    seed: int
    stage: ClassVar[str] = "open"

    def answered_by(self, handler: Chameleon) -> Facts:
        """See `Request.answered_by`."""
        return handler.open(self.folder, self.seed)


@dataclass(frozen=True)
class OpenModel(Request[Runner, None]):
    """See `Runner.open`."""

    model: str
    threads: int
    shapes: Mapping[str, Sequence[int]]
    stage: ClassVar[str] = "open"

    def answered_by(self, handler: Runner) -> None:
        """See `Request.answered_by`."""
        handler.open(self.model, self.threads, self.shapes)


@dataclass(frozen=True)
class Outputs(Request[RunsModel, "list[Any]"]):
    """See `RunsModel.outputs`."""

    inputs: Mapping[str, Any]
    stage: ClassVar[str] = "outputs"

    def answered_by(self, handler: RunsModel) -> list[Any]:
        """See `Request.answered_by`."""
        return handler.outputs(self.inputs)


@dataclass(frozen=True)
class TimeCalls(Request[RunsModel, float]):
    """See `RunsModel.time`."""

    at_least_secs: float
    stage: ClassVar[str] = "time"

    def answered_by(self, handler: RunsModel) -> float:
        """See `Request.answered_by`."""
        return handler.time(self.at_least_secs)
