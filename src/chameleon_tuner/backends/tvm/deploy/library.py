"""A deployed model: loading it from its folder, and running it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chameleon_tuner.backends.tvm.deploy.compiled import CompiledModel, load_weights
from chameleon_tuner.backends.tvm.deploy.manifest import Manifest
from chameleon_tuner.backends.tvm.deploy.runtime import OnCpu, numpy_dtype
from chameleon_tuner.backends.tvm.features import host_features
from chameleon_tuner.backends.tvm.frontend.sessions import open_session, short
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec, trial_inputs
from chameleon_tuner.core.errors import LibraryError, last_line
from chameleon_tuner.system.clock import mean_secs
from chameleon_tuner.system.files import LIBRARY
from chameleon_tuner.system.machine import require_linux, usable_cores


class Library:
    """A deployed model, loaded and ready to run on this machine.

    The tuned shapes run in compiled code. Other shapes that the model allows, and models for which
    nothing faster was found, run in onnxruntime.

    Several threads may call it at once. A thread that has called a library must not fork and call
    one in the child, because the threads of TVM do not survive a fork. That is an error; a fork
    before the first call is fine.

    Args:
        folder: Folder from `chameleon tune`.
        file: Name of the library in it.
        threads: The number of threads that run it. Without it `TVM_NUM_THREADS` decides, or as many
            as it was tuned for, but no more than there are cores that this process may use.

    Attributes:
        manifest: The manifest of the folder.
        threads: The number of threads that run it.

    Raises:
        LibraryError: There is no such library, it is damaged, or this CPU lacks instructions that
            it was built for.
    """

    def __init__(self, folder: Path, file: str = LIBRARY, threads: int | None = None) -> None:
        require_linux()
        self.manifest = Manifest.read(folder, file)
        check_cpu(self.manifest)
        self.manifest.require_versions(folder)
        self.threads = threads or _threads(self.manifest)
        # A link may point elsewhere tomorrow, and glibc knows what is loaded by its path.
        library = (folder / file).resolve()
        self._original = _Original(folder.resolve(), self.manifest, self.threads)
        self._variants = list(_loaded(library, self.manifest, self.threads))
        self._names = [spec.name for spec in self.manifest.outputs]
        if Manifest.read(folder, file) != self.manifest:  # then what was verified may be gone
            raise LibraryError(f"{folder} changed while it was loaded: load it in a new process")

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the model on NumPy arrays by name, and return the outputs likewise.

        Raises:
            LibraryError: An input is missing, unknown, or has another shape or dtype; or the
                process was forked after a call.
        """
        return dict(zip(self._names, self.outputs(inputs), strict=True))

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Run the model likewise, and return the outputs in its order."""
        for variant in self._variants:
            arrays = variant.fitting(inputs)
            if arrays is not None and variant.code is not None:
                return variant.code(arrays)
        specs, code = self._for(inputs)
        return self._original(inputs) if code is None else code(_arrays(specs, inputs))

    def time(self, inputs: Mapping[str, Any], at_least_secs: float) -> float:
        """Return the mean seconds of a call, which is repeated for at least `at_least_secs`."""
        specs, code = self._for(inputs)
        if code is None:
            return mean_secs(lambda: self._original(inputs), at_least_secs)
        return code.time(_arrays(specs, inputs), at_least_secs)

    def shares(self, inputs: Mapping[str, Any], at_least_secs: float) -> Mapping[str, float]:
        """Return the share of the time that each part in onnxruntime takes, by its name."""
        specs, code = self._for(inputs)
        return {} if code is None else code.shares(_arrays(specs, inputs), at_least_secs)

    def require_cpu(self) -> None:
        """Raise a `LibraryError` if the library does not run on a CPU."""
        codes = (variant.code for variant in self._variants if variant.code is not None)
        if not all(isinstance(code.place, OnCpu) for code in codes):
            raise LibraryError(
                "this works for libraries of CPUs; `chameleon run --bench` times any"
            )

    def instrumented(self, inputs: Mapping[str, Any], hook: Callable[..., int]) -> None:
        """Run the model once, with a hook before and after every call that it makes.

        Args:
            inputs: Inputs by name.
            hook: See `VirtualMachine.set_instrument` of Relax.
        """
        specs, code = self._compiled(inputs)
        code.instrumented(_arrays(specs, inputs), hook)

    def random_inputs(self, seed: int) -> dict[str, Any]:
        """Return random inputs by name, see `trial_inputs`."""
        return trial_inputs(self.manifest.inputs, self.manifest.ranges, seed)

    def _compiled(self, inputs: Mapping[str, Any]) -> tuple[Specs, CompiledModel]:
        specs, code = self._for(inputs)
        if code is None:
            raise LibraryError(
                "this model has no kernels of its own for these shapes: onnxruntime runs it, "
                "because nothing faster was found"
            )
        return specs, code

    def _for(self, inputs: Mapping[str, Any]) -> tuple[Specs, CompiledModel | None]:
        """Return the variant for inputs of these shapes; no code if onnxruntime runs them."""
        shapes = {name: np.shape(array) for name, array in inputs.items()}
        for variant in self._variants:
            if all(shapes.get(spec.name, spec.shape) == spec.shape for spec in variant.specs):
                return variant.specs, variant.code
        return self.manifest.inputs, None if self.manifest.original else self._variants[0].code


Specs = Sequence[TensorSpec]


class _Variant:
    """The model for some shapes of its inputs.

    Args:
        specs: The inputs.
        code: The code; None where onnxruntime runs it.
    """

    def __init__(self, specs: Specs, code: CompiledModel | None) -> None:
        self.specs, self.code = specs, code
        self._expected = [(spec.name, numpy_dtype(spec.dtype), spec.shape) for spec in specs]

    def fitting(self, inputs: Mapping[str, Any]) -> list[Any] | None:
        """Return the arrays in order if they are as the code takes them, and None otherwise.

        This takes a microsecond, where to make them so takes ten.
        """
        if len(inputs) != len(self._expected):
            return None
        arrays = []
        for name, dtype, shape in self._expected:
            array = inputs.get(name)
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return None
            if not array.flags.c_contiguous:
                return None
            arrays.append(array)
        return arrays


def _threads(manifest: Manifest) -> int:
    asked = os.environ.get("TVM_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else min(manifest.threads, usable_cores())


def _loaded(library: Path, manifest: Manifest, threads: int) -> Iterator[_Variant]:
    """Yield the variants."""
    folder = library.parent
    # Only the first library speaks for all of them; another one is opened by itself.
    files = (manifest.variants if library.name == LIBRARY else ()) or (library.name,)
    manifests = [manifest, *(Manifest.read(folder, file) for file in files[1:])]
    for file, variant in zip(files, manifests, strict=True):
        variant.verify(folder / file)
    compiled = any(variant.compiled for variant in manifests)
    weights = load_weights(library, manifest) if compiled else {}
    for file, variant in zip(files, manifests, strict=True):
        path = folder / file
        code = CompiledModel(path, variant, weights, threads) if variant.compiled else None
        yield _Variant(variant.inputs, code)


def _arrays(specs: Specs, inputs: Mapping[str, Any], *, shaped: bool = True) -> list[Any]:
    """Return the arrays of all inputs in order.

    Args:
        specs: The inputs.
        inputs: Arrays by name.
        shaped: Whether they have to have the shapes of the inputs.
    """
    unknown = sorted(set(inputs) - {spec.name for spec in specs})
    if unknown:
        names = ", ".join(spec.name for spec in specs)
        raise LibraryError(f"the model has no input {unknown[0]!r}; its inputs are: {names}")
    return [_fitting(spec, inputs, shaped) for spec in specs]


class _Original:
    """The user's ONNX file in onnxruntime, which is opened when it is needed.

    Args:
        folder: The folder.
        manifest: Its manifest.
        threads: Number of threads.
    """

    def __init__(self, folder: Path, manifest: Manifest, threads: int) -> None:
        self._folder, self._manifest, self._threads = folder, manifest, threads
        self._lock, self._session = threading.Lock(), None

    def __call__(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Run the model, and return its outputs."""
        session, specs = self._opened(), self._manifest.inputs
        names = list(dict.fromkeys(spec.name for spec in self._manifest.outputs))
        arrays = _arrays(specs, inputs, shaped=False)
        given = {spec.name: array for spec, array in zip(specs, arrays, strict=True)}
        try:
            return list(session.run(names, given))
        except Exception as error:
            raise LibraryError(f"onnxruntime does not run these inputs: {short(error)}") from None

    def _opened(self) -> Any:
        with self._lock:
            if self._session is None:
                path = self._folder / self._manifest.original
                self._session = open_session(str(path), self._threads)
            return self._session


def _fitting(spec: TensorSpec, inputs: Mapping[str, Any], shaped: bool) -> Any:
    if spec.name not in inputs:
        raise LibraryError(f"input {spec.name!r} is missing (shape {spec.shape}, {spec.dtype})")
    array, dtype = _as_array(spec.name, inputs[spec.name]), numpy_dtype(spec.dtype)
    if shaped and tuple(array.shape) != spec.shape:
        raise LibraryError(f"input {spec.name!r} has shape {array.shape}, not {spec.shape}")
    if array.dtype == dtype:
        return np.ascontiguousarray(array) if array.ndim else array
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise LibraryError(f"input {spec.name!r} has dtype {array.dtype}, not {spec.dtype}")
    fitting = np.asarray(array, dtype, order="C")
    if array.dtype.kind in "iu" and dtype.kind in "iu" and (fitting != array).any():
        raise LibraryError(f"input {spec.name!r} has values that {spec.dtype} cannot hold")
    return fitting


def _as_array(name: str, value: Any) -> Any:
    """Return an input as an array, of the same memory if it can be: DLPack's protocol is enough."""
    if isinstance(value, np.ndarray):
        return value
    foreign = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
    try:
        return np.from_dlpack(value) if foreign else np.asarray(value)
    except Exception as error:  # a tensor on a GPU, or of a type that NumPy does not have
        raise LibraryError(f"input {name!r} cannot become an array: {last_line(error)}") from None


def check_cpu(manifest: Manifest) -> None:
    """Raise an error if this CPU lacks instructions that a library was built for.

    Raises:
        LibraryError: Instructions are missing; the message names them.
    """
    needed = manifest.required_features if manifest.compiled else ()
    missing = sorted(set(needed) - host_features())
    if missing:
        raise LibraryError(
            f"this CPU lacks {', '.join(missing)}, which the library was built for; "
            "tune the model on this machine, or with --target for its CPU"
        )
