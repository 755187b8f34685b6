"""What each runtime's process does: open a model, compute its outputs, time it.

Every runtime is at its best for one call after another in float32, on the same number of threads.
It is imported when its model is opened: the process that forks the workers stays free of it.
"""

from __future__ import annotations

import abc
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chameleon_tuner.stopwatch import mean_secs


@dataclass(frozen=True)
class Facts:
    """What the others have to know of a tuned library.

    Attributes:
        model: its name.
        threads: that it runs with.
        inputs: random arrays by name, in the model's order.
    """

    model: str
    threads: int
    inputs: Mapping[str, Any]


class Chameleon:
    """Runs a tuned library."""

    def open(self, folder: str, seed: int) -> Facts:
        """Load the library of a folder.

        Args:
            folder: from `chameleon tune`.
            seed: of the random inputs.

        Raises:
            LibraryError: there is none that runs on this machine.
        """
        from chameleon_tuner.tvm.deploy import Library

        self._library = Library(Path(folder))
        self._library.require_cpu()
        manifest = self._library.manifest
        return Facts(manifest.model, manifest.threads, self._library.random_inputs(seed))

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Outputs in the model's order; the inputs are kept for `time`."""
        self._inputs = inputs
        return list(self._library(inputs).values())

    def time(self, at_least_secs: float) -> float:
        """Seconds of one call, the mean of as many as fill the time, at least one."""
        return self._library.time(self._inputs, at_least_secs)


class Runner(abc.ABC):
    """Runs an ONNX file."""

    @abc.abstractmethod
    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """Load a model.

        Args:
            model: path of an ONNX file.
            threads: that it may use.
            shapes: of its inputs, by name.
        """

    @abc.abstractmethod
    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Outputs in the model's order; the inputs are kept for `time`."""

    @abc.abstractmethod
    def run(self) -> Any:
        """One call on the inputs that were given last."""

    def time(self, at_least_secs: float) -> float:
        """Seconds of one call, the mean of as many as fill the time, at least one."""
        return mean_secs(self.run, at_least_secs)


class OnnxRuntime(Runner):
    """onnxruntime on the CPU, with all of its graph optimisations: its default."""

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
    """OpenVINO on the CPU, one request that is used again and again."""

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
            # On a CPU with AMX it would take bfloat16, and everybody else float32.
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
    """PyTorch's compiler on the converted model; it needs a C++ compiler."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        """See `Runner`."""
        import torch

        converter: Any = _onnx2torch(torch)
        torch.set_num_threads(threads)
        # Freezing folds constants and re-lays out the weights, as the other runtimes do.
        self._module: Any = torch.compile(
            converter.convert(model).eval(), options={"freezing": True}
        )
        self._torch: Any = torch

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """See `Runner`. The first call compiles: minutes for a large network."""
        self._inputs = [self._torch.from_numpy(array) for array in inputs.values()]
        returned = self.run()
        several = isinstance(returned, list | tuple)
        return [tensor.numpy() for tensor in (returned if several else [returned])]

    def run(self) -> Any:
        """See `Runner`."""
        with self._torch.inference_mode():  # freezing asks for it
            return self._module(*self._inputs)


def _onnx2torch(torch: Any) -> Any:
    """The converter; it imports torchvision, of which it needs no compiled code here.

    A torchvision that was built for another PyTorch (with CUDA, say) lacks that code, and cannot
    be imported without the operators that it then describes.
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
