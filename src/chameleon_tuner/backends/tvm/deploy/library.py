"""Tuned libraries: loading one from its folder, and running it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax
from tvm.target import Target

from chameleon_tuner.backends.tvm.frontend.program import Program, TensorSpec
from chameleon_tuner.backends.tvm.lower.kernel import device_of
from chameleon_tuner.backends.tvm.targets import as_json, host_features, required_features
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.system.clock import mean_secs
from chameleon_tuner.system.files import LIBRARY, MANIFEST

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """The description of a tuned library, which is needed to load and call it.

    Attributes:
        model: Name of the model.
        digest: Digest of the model, see `Program`.
        target: Target of the library, as JSON values.
        required_features: Vector extensions that its code may use, by LLVM's names.
        threads: Number of threads that it was tuned for and runs with.
        inputs: Inputs of `main`, in order.
        outputs: Outputs of `main`, in order.
        format: Version of the manifest's format.
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
        """Return the manifest of a program that is built for a target.

        Args:
            program: The program.
            target: The target.
            threads: Number of threads that it was tuned for.

        Returns:
            The manifest.
        """
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
        """Write the manifest into a folder."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> Manifest:
        """Read the manifest of a folder from `chameleon tune`.

        Raises:
            LibraryError: The folder holds no tuned library, or one of a newer version.
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
    """A tuned library, loaded and ready to run on this machine.

    Args:
        folder: Folder from `chameleon tune`.
        file: Name of the library in it.

    Attributes:
        manifest: The manifest of the folder.

    Raises:
        LibraryError: There is no such library, it is damaged, or this CPU lacks instructions that
            it was built for.
    """

    def __init__(self, folder: Path, file: str = LIBRARY) -> None:
        self.manifest = Manifest.read(folder)
        check_cpu(self.manifest)
        # TVM reads this variable when its thread pool starts, at the first kernel of the process.
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
        """Run the model on NumPy arrays by name, and return the outputs likewise.

        Raises:
            LibraryError: An input is missing, unknown, or has another shape or dtype.
        """
        returned = self._machine["main"](*self._tensors(inputs))
        if isinstance(returned, tvm.runtime.Tensor):
            returned = [returned]
        names = [spec.name for spec in self.manifest.outputs]
        return {n: tensor.numpy() for n, tensor in zip(names, returned, strict=True)}

    def time(self, inputs: Mapping[str, Any], at_least_secs: float) -> float:
        """Return the mean seconds of a call, which is repeated for at least `at_least_secs`."""
        tensors, main = self._tensors(inputs), self._machine["main"]

        def call() -> None:
            main(*tensors)
            self._device.sync()

        return mean_secs(call, at_least_secs)

    def require_cpu(self) -> None:
        """Raise a `LibraryError` if the library does not run on a CPU."""
        if self._device != tvm.cpu(0):
            raise LibraryError(
                "this works for libraries of CPUs; `chameleon run --bench` times any"
            )

    def instrumented(self, inputs: Mapping[str, Any], hook: Callable[..., int]) -> None:
        """Run the model once, with a hook before and after every call that it makes.

        Args:
            inputs: Inputs by name.
            hook: See `VirtualMachine.set_instrument` of Relax.
        """
        machine = relax.VirtualMachine(self._code, self._device)
        machine.set_instrument(tvm_ffi.convert_func(hook))
        machine["main"](*self._tensors(inputs))

    def random_inputs(self, seed: int) -> dict[str, Any]:
        """Return random inputs by name: standard normal, or zeros for integers."""
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
    """Return the path of a library's weights: `model.params` beside `model.so`."""
    return library.with_suffix(".params")


def _load_weights(library: Path, device: Any) -> list[Any]:
    """Return the weights, in the order of the parameters of `main` after the inputs."""
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
    """Raise an error if this CPU lacks instructions that a library was built for.

    Raises:
        LibraryError: Instructions are missing; the message names them.
    """
    missing = sorted(set(manifest.required_features) - host_features())
    if missing:
        raise LibraryError(
            f"this CPU lacks {', '.join(missing)}, which the library was built for; "
            "tune the model on this machine, or with --target for its CPU"
        )


def usage(manifest: Manifest, folder: Path) -> Iterator[str]:
    """Yield lines of Markdown that say how a tuned library is used.

    Args:
        manifest: The manifest of the library.
        folder: The folder that holds it.

    Yields:
        The commands, and a script with nothing but the TVM runtime.
    """
    place = shlex.quote(str(folder))
    yield from ("With the command line:", "")
    yield from ("```", f"chameleon run {place} --bench")
    yield from (f"chameleon run {place} --inputs x.npz --outputs y.npz", "```", "")
    yield "With nothing but the TVM runtime, in this folder (TVM takes half of the cores unless it"
    yield from ("is told the number of threads before it is imported):", "")
    yield from ("```python", *_script(manifest), "```")


def _script(manifest: Manifest) -> Iterator[str]:
    """Yield a script that loads the library from the current folder and runs it on zeros."""
    several = len(manifest.inputs) > 1
    named = [(f"x{n}" if several else "x", spec) for n, spec in enumerate(manifest.inputs)]
    kind = str(manifest.target.get("kind", "llvm")).replace("llvm", "cpu")
    weight = 'weights[f"weight{n}"]' + ("" if kind == "cpu" else ".copyto(device)")
    tensors = [f"tvm.runtime.tensor({variable}, device)" for variable, _ in named]
    yield from ("import os", "")
    yield from (f'os.environ["TVM_NUM_THREADS"] = "{manifest.threads}"', "")
    yield from ("import numpy as np", "import tvm", "from tvm import relax", "")
    yield f"device = tvm.{kind}()"
    yield 'machine = relax.VirtualMachine(tvm.runtime.load_module("model.so"), device)'
    yield 'weights = tvm.runtime.load_param_dict_from_file("model.params")'
    yield f"weights = [{weight} for n in range(len(weights))]"
    yield ""
    for variable, spec in named:
        yield f'{variable} = np.zeros({tuple(spec.shape)}, "{spec.dtype}")  # {spec.name!r}'
    yield f'outputs = machine["main"]({", ".join(tensors)}, *weights)'
    yield "print(outputs)"
