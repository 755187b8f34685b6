"""Compiled code that is loaded, with its weights and its parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import relax
from tvm.target import Target

from chameleon_tuner.backends.tvm.deploy.manifest import Manifest, weights_path
from chameleon_tuner.backends.tvm.deploy.parts import FAILED, PartSession
from chameleon_tuner.backends.tvm.lower.kernel import device_of
from chameleon_tuner.backends.tvm.lower.threads import has_own_threads
from chameleon_tuner.core.errors import LibraryError, last_line
from chameleon_tuner.system.checksums import Checksum
from chameleon_tuner.system.clock import mean_secs
from chameleon_tuner.system.machine import thread_environment


class CompiledModel:
    """The compiled code of a folder.

    Every thread has a virtual machine of its own over the same code and weights, made in 0.1 ms at
    its first call: one is not safe for several threads, and with a lock around a single one the
    slowest of 100 calls of 4 threads took 30 ms instead of 2 ms (a network of 0.3 ms on 2 cores).

    Args:
        library: Path of the library.
        manifest: Its manifest.
        weights: Weights by name, from `load_weights`.

    Raises:
        LibraryError: The library is damaged.
    """

    def __init__(self, library: Path, manifest: Manifest, weights: Mapping[str, Any]) -> None:
        _require_unreplaced(library, manifest.files.get(library.name))
        # TVM reads these variables when its thread pool starts, at the first kernel of a thread.
        os.environ.update(thread_environment(manifest.threads))
        self.device = device_of(Target(dict(manifest.target)))
        self._parts = [
            PartSession(part, library.parent / part.file, manifest.threads)
            for part in manifest.parts
        ]
        names = manifest.weights or [f"weight{number}" for number in range(len(weights))]
        self._weights = [weights[name] for name in names]
        self._by_thread = threading.local()
        try:
            self._code = tvm.runtime.load_module(str(library))
            self._by_thread.machine = relax.VirtualMachine(self._code, self.device)
            self._tvms_threads = 1 if has_own_threads(library) else manifest.threads
        except Exception as error:
            raise LibraryError(
                f"{library} cannot be loaded ({last_line(error)}); tune it again"
            ) from None

    def __call__(self, arrays: list[Any]) -> list[Any]:
        """Run the model on the arrays of its inputs, and return those of its outputs.

        Raises:
            LibraryError: A part does not run, such as with an index that is none.
        """
        main, given = self._main(), self._tensors(arrays)
        try:
            returned = main(*given)
        except RuntimeError as error:
            if str(error).startswith(FAILED):
                raise LibraryError(str(error)) from None
            raise
        tensors = [returned] if isinstance(returned, tvm.runtime.Tensor) else returned
        return [tensor.numpy() for tensor in tensors]

    def time(self, arrays: list[Any], at_least_secs: float) -> float:
        """Return the mean seconds of a call, which is repeated for at least `at_least_secs`."""
        tensors, main = self._tensors(arrays), self._main()

        def call() -> None:
            main(*tensors)
            self.device.sync()

        return mean_secs(call, at_least_secs)

    def shares(self, arrays: list[Any], at_least_secs: float) -> Mapping[str, float]:
        """Return the share of the time that each part takes, by its name."""
        before = {part.name: part.secs for part in self._parts}
        tensors, main, calls = self._tensors(arrays), self._main(), 0

        def call() -> None:
            nonlocal calls
            calls += 1
            main(*tensors)

        secs = mean_secs(call, at_least_secs) if self._parts else 1.0
        return {p.name: (p.secs - before[p.name]) / max(calls, 1) / secs for p in self._parts}

    def instrumented(self, arrays: list[Any], hook: Callable[..., int]) -> None:
        """Run the model once, with a hook before and after every call that it makes.

        Args:
            arrays: The inputs.
            hook: See `VirtualMachine.set_instrument` of Relax.
        """
        _require_threads(self._tvms_threads)
        machine = relax.VirtualMachine(self._code, self.device)
        machine.set_instrument(tvm_ffi.convert_func(hook))
        machine["main"](*self._tensors(arrays))

    def _main(self) -> Any:
        _require_threads(self._tvms_threads)
        if not hasattr(self._by_thread, "machine"):
            self._by_thread.machine = relax.VirtualMachine(self._code, self.device)
        return self._by_thread.machine["main"]

    def _tensors(self, arrays: list[Any]) -> list[Any]:
        return [tvm.runtime.tensor(array, self.device) for array in arrays] + self._weights


def load_weights(library: Path, manifest: Manifest) -> Mapping[str, Any]:
    """Return the weights of a library, and of its variants, on their device by name.

    Args:
        library: Path of the library.
        manifest: Its manifest.

    Raises:
        LibraryError: The file of the weights is missing or damaged.
    """
    device = device_of(Target(dict(manifest.target)))
    try:
        named = tvm.runtime.load_param_dict_from_file(str(weights_path(library)))
    except (OSError, RuntimeError, ValueError):
        raise LibraryError(
            f"{weights_path(library)} is missing or damaged; tune the model again"
        ) from None
    on_cpu = device == tvm.cpu(0)
    return {name: tensor if on_cpu else tensor.copyto(device) for name, tensor in named.items()}


_LOADED: dict[Path, Checksum | None] = {}


def _require_unreplaced(library: Path, checksum: Checksum | None) -> None:
    """Raise a `LibraryError` if another file was loaded from this path before.

    TVM never closes a library, and glibc would give the old code again, for the new weights.
    """
    if _LOADED.setdefault(library, checksum) != checksum:
        raise LibraryError(
            f"{library} was replaced after this process had loaded it: load it in a new process"
        )


class _ThreadPool(threading.local):
    """The pool of threads that TVM keeps for the calling thread from its first kernel on.

    Attributes:
        process: The process in which it was started; None before that.
    """

    process: int | None = None


_POOL = _ThreadPool()


def _require_threads(number: int) -> None:
    """Raise a `LibraryError` where a kernel would wait forever for threads that a fork left behind.

    One thread needs no pool.
    """
    if number > 1 and _POOL.process not in (None, os.getpid()):
        raise LibraryError(
            "this process was forked from one that had run a library, and has none of its threads: "
            "fork before the first call, or start the process with spawn or forkserver"
        )
    if number > 1:
        _POOL.process = os.getpid()
