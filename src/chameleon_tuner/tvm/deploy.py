"""A tuned library on disk, and running it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax
from tvm.target import Target

from chameleon_tuner.errors import LibraryError
from chameleon_tuner.stopwatch import mean_secs
from chameleon_tuner.tvm.frontend import Program, TensorSpec
from chameleon_tuner.tvm.kernels import device_of
from chameleon_tuner.tvm.targets import as_json, host_features, required_features

FORMAT = 1
MANIFEST, LIBRARY = "manifest.json", "model.so"


@dataclass(frozen=True)
class Manifest:
    """What somebody who loads a library has to know.

    Attributes:
        model: name of the model.
        digest: of the model; see `Program`.
        target: what it was built for.
        required_features: vector extensions that its code may use, in LLVM's names.
        threads: that it was tuned for and runs with.
        inputs: of its entry `main`, in order.
        outputs: of its entry, in order.
        format: version of this file.
    """

    model: str
    digest: str
    target: Mapping[str, Any]
    required_features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    format: int = FORMAT

    @staticmethod
    def of(program: Program, target: Target, threads: int) -> Manifest:
        """The manifest of a program built for a target."""
        return Manifest(
            program.name,
            program.digest,
            as_json(target),
            tuple(sorted(required_features(target))),
            threads,
            program.inputs,
            program.outputs,
        )

    def write(self, folder: Path) -> None:
        """Write it into a folder."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """The manifest of a tuned folder.

        Raises:
            LibraryError: the folder holds no tuned library, or one of a newer version.
        """
        try:
            data = json.loads((folder / MANIFEST).read_text())
            if data["format"] > FORMAT:
                raise LibraryError(f"{folder} was made by a newer Chameleon; upgrade this one")
            for name in ("inputs", "outputs"):
                data[name] = tuple(
                    TensorSpec(s["name"], tuple(s["shape"]), s["dtype"]) for s in data[name]
                )
            return Manifest(**{**data, "required_features": tuple(data["required_features"])})
        except (OSError, ValueError, KeyError, TypeError):
            raise LibraryError(
                f"{folder} holds no tuned library; make one with `chameleon tune`"
            ) from None


class Library:
    """A library on this machine, ready to run.

    Args:
        folder: from `chameleon tune`.
        file: the library in it.

    Raises:
        LibraryError: there is none, or this CPU lacks instructions that it was built for.
    """

    def __init__(self, folder: Path, file: str = LIBRARY) -> None:
        self.manifest = Manifest.read(folder)
        check_cpu(self.manifest)
        # Read by TVM when its thread pool starts, at the first kernel of the process.
        os.environ["TVM_NUM_THREADS"] = str(self.manifest.threads)
        self._device = device_of(Target(dict(self.manifest.target)))
        self._weights = _load_weights(folder / file, self._device)
        try:
            self._code = tvm.runtime.load_module(str(folder / file))
            self._machine = relax.VirtualMachine(self._code, self._device)
        except Exception:
            raise LibraryError(
                f"{folder / file} is missing or damaged; tune the model again"
            ) from None

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by name for inputs by name, NumPy arrays both.

        Raises:
            LibraryError: an input is missing, unknown, or of another shape.
        """
        returned = self._machine["main"](*self._tensors(inputs))
        if isinstance(returned, tvm.runtime.Tensor):
            returned = [returned]
        names = [spec.name for spec in self.manifest.outputs]
        return {n: tensor.numpy() for n, tensor in zip(names, returned, strict=True)}

    def time(self, inputs: Mapping[str, Any], at_least_secs: float) -> float:
        """Seconds of one call, the mean of as many as fill the time, at least one."""
        tensors, main = self._tensors(inputs), self._machine["main"]

        def call() -> None:
            main(*tensors)
            self._device.sync()

        return mean_secs(call, at_least_secs)

    def require_cpu(self) -> None:
        """Raises a `LibraryError` for a library that does not run on a CPU."""
        if self._device != tvm.cpu(0):
            raise LibraryError(
                "this works for libraries of CPUs; `chameleon run --bench` times any"
            )

    def instrumented(self, inputs: Mapping[str, Any], hook: Callable[..., int]) -> None:
        """One call of the model, of which a hook is told; see `VirtualMachine.set_instrument`."""
        machine = relax.VirtualMachine(self._code, self._device)
        machine.set_instrument(tvm_ffi.convert_func(hook))
        machine["main"](*self._tensors(inputs))

    def random_inputs(self, seed: int) -> dict[str, Any]:
        """Standard normal inputs; zeros where they are integers."""
        rng = np.random.default_rng(seed)
        return {spec.name: _random(spec, rng) for spec in self.manifest.inputs}

    def _tensors(self, inputs: Mapping[str, Any]) -> list[Any]:
        specs = self.manifest.inputs
        unknown = sorted(set(inputs) - {spec.name for spec in specs})
        if unknown:
            names = ", ".join(spec.name for spec in specs)
            raise LibraryError(f"the model has no input {unknown[0]!r}; its inputs are: {names}")
        given = [tvm.runtime.tensor(_fitting(spec, inputs), self._device) for spec in specs]
        return given + self._weights


def weights_path(library: Path) -> Path:
    """Where the weights of a library are: `model.params` beside `model.so`."""
    return library.with_suffix(".params")


def _load_weights(library: Path, device: Any) -> list[Any]:
    """The weights, in the order in which `main` takes them behind the inputs."""
    try:
        named = tvm.runtime.load_param_dict_from_file(str(weights_path(library)))
    except (OSError, RuntimeError, ValueError):
        raise LibraryError(
            f"{weights_path(library)} is missing or damaged; tune the model again"
        ) from None
    tensors = [named[f"weight{number}"] for number in range(len(named))]
    on_cpu = device == tvm.cpu(0)
    return tensors if on_cpu else [tensor.copyto(device) for tensor in tensors]


def _fitting(spec: TensorSpec, inputs: Mapping[str, Any]) -> Any:
    if spec.name not in inputs:
        raise LibraryError(f"input {spec.name!r} is missing (shape {spec.shape}, {spec.dtype})")
    array = np.asarray(inputs[spec.name])
    if tuple(array.shape) != spec.shape:
        raise LibraryError(f"input {spec.name!r} has shape {array.shape}, not {spec.shape}")
    if array.dtype != spec.dtype and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise LibraryError(f"input {spec.name!r} has dtype {array.dtype}, not {spec.dtype}")
    return np.ascontiguousarray(array, dtype=spec.dtype)


def _random(spec: TensorSpec, rng: np.random.Generator) -> Any:
    if spec.dtype.startswith("float"):
        return rng.standard_normal(spec.shape).astype(spec.dtype)
    return np.zeros(spec.shape, spec.dtype)


def check_cpu(manifest: Manifest) -> None:
    """Refuse a library whose instructions this CPU lacks.

    Raises:
        LibraryError: naming the instructions.
    """
    missing = sorted(set(manifest.required_features) - host_features())
    if missing:
        raise LibraryError(
            f"this CPU lacks {', '.join(missing)}, which the library was built for; "
            "tune the model on this machine, or with --target for its CPU"
        )
