"""Compiled code that is loaded, with its weights and its parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tvm_ffi

from chameleon_tuner.backends.tvm.deploy.manifest import Manifest, weights_path
from chameleon_tuner.backends.tvm.deploy.parts import FAILED, PartSession
from chameleon_tuner.backends.tvm.deploy.runtime import (
    Array,
    Code,
    Place,
    load_tensors,
    place_of,
)
from chameleon_tuner.backends.tvm.frontend.tensors import TensorSpec
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
        threads: The number of threads that run it.

    Raises:
        LibraryError: The library is damaged.
    """

    def __init__(
        self, library: Path, manifest: Manifest, weights: Mapping[str, Any], threads: int
    ) -> None:
        _require_unreplaced(library, manifest.files.get(library.name))
        self.place = place_of(str(manifest.target["kind"]))
        self._parts = [
            PartSession(part, library.parent / part.file, threads) for part in manifest.parts
        ]
        self._specs, self._threads = manifest.inputs, threads
        self._by_thread = threading.local()
        try:
            self._weights = manifest.ordered(weights)
            self._code = Code(library)
            self._by_thread.caller = self._caller()
        except Exception as error:
            raise LibraryError(
                f"{library} cannot be loaded ({last_line(error)}); tune it again"
            ) from None
        if not self._code.told_threads:
            # They are read when the first kernel of a thread runs.
            os.environ.update(thread_environment(threads))

    def __call__(self, arrays: list[Array]) -> list[Array]:
        """Run the model on the arrays of its inputs, and return those of its outputs.

        Raises:
            LibraryError: A part does not run, such as with an index that is none.
        """
        try:
            return self._mine()(arrays)
        except RuntimeError as error:
            if str(error).startswith(FAILED):
                raise LibraryError(str(error)) from None
            raise

    def time(self, arrays: list[Array], at_least_secs: float) -> float:
        """Return the mean seconds of a call, which is repeated for at least `at_least_secs`."""
        return mean_secs(self._mine().repeated(arrays), at_least_secs)

    def shares(self, arrays: list[Array], at_least_secs: float) -> Mapping[str, float]:
        """Return the share of the time that each part takes, by its name."""
        before = {part.name: part.secs for part in self._parts}
        run, calls = self._mine().repeated(arrays), 0

        def call() -> None:
            nonlocal calls
            calls += 1
            run()

        secs = mean_secs(call, at_least_secs) if self._parts else 1.0
        return {p.name: (p.secs - before[p.name]) / max(calls, 1) / secs for p in self._parts}

    def instrumented(self, arrays: list[Array], hook: Callable[..., int]) -> None:
        """Run the model once, with a hook before and after every call that it makes.

        Args:
            arrays: The inputs.
            hook: See `VirtualMachine.set_instrument` of Relax.
        """
        self._mine()  # threads of this process, as many as there should be
        caller = self._caller()
        caller.machine["set_instrument"](tvm_ffi.convert_func(hook))
        caller(arrays)

    def _caller(self) -> _Caller:
        return _Caller(self._code.machine(self.place), self.place, self._specs, self._weights)

    def _mine(self) -> _Caller:
        """Return what the calling thread calls the code by."""
        if self._code.own_threads:
            self._code.use_threads(self._threads)
        else:
            _require_threads(self._threads)
        try:
            found: _Caller = self._by_thread.caller
        except AttributeError:
            found = self._by_thread.caller = self._caller()
        return found


class _Caller:
    """Calls code in one thread at a time.

    Args:
        machine: A virtual machine.
        place: Where it runs.
        specs: The inputs.
        weights: The weights.

    Attributes:
        machine: The virtual machine.
    """

    def __init__(
        self, machine: Any, place: Place, specs: Sequence[TensorSpec], weights: Sequence[Any]
    ) -> None:
        self.machine, self._main = machine, machine["main"]
        self._place, self._weights = place, weights
        self._passing = [place.passing(spec.static or (), spec.dtype) for spec in specs]
        self._returned: list[Any] = []
        self._copied: list[bool] = []

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Run the code, and return its outputs, which are the caller's own."""
        given = self._passed(arrays)
        returned = self._main(*given, *self._weights)
        tensors = [returned] if isinstance(returned, tvm_ffi.Tensor) else returned
        copied = self._copied or self._to_copy(given, tensors)
        as_array = self._place.returned
        return [
            as_array(tensor).copy() if copy else as_array(tensor)
            for tensor, copy in zip(tensors, copied, strict=True)
        ]

    def _to_copy(self, given: Sequence[Any], tensors: Sequence[Any]) -> list[bool]:
        """Return which outputs have memory that is not theirs alone.

        An input or an earlier output has the same, or the code keeps it: a constant has the address
        that it had in the first call, whose outputs, of which all are copied, are still alive.
        """
        last, self._returned = self._returned, list(tensors)
        if not last:
            return [True] * len(self._returned)
        places = [tensor.data_ptr() for tensor in tensors]
        others = {tensor.data_ptr() for tensor in (*given, *last)}
        self._returned = []
        self._copied = [p in others or p in places[:n] for n, p in enumerate(places)]
        return self._copied

    def repeated(self, arrays: Sequence[Array]) -> Callable[[], None]:
        """Return a function that runs the code on the same arrays each time."""
        arguments, main, wait = (
            [*self._passed(arrays), *self._weights],
            self._main,
            self._place.wait,
        )

        def run() -> None:
            main(*arguments)
            wait()

        return run

    def _passed(self, arrays: Sequence[Array]) -> list[Any]:
        return [pass_(array) for pass_, array in zip(self._passing, arrays, strict=True)]


def load_weights(library: Path, manifest: Manifest) -> Mapping[str, Any]:
    """Return the weights of a library, and of its variants, where it runs, by name.

    Args:
        library: Path of the library.
        manifest: Its manifest.

    Raises:
        LibraryError: The file of the weights is missing or damaged.
    """
    place = place_of(str(manifest.target["kind"]))
    try:
        named = load_tensors(weights_path(library))
    except (OSError, RuntimeError, ValueError):
        raise LibraryError(
            f"{weights_path(library)} is missing or damaged; tune the model again"
        ) from None
    return {name: place.placed(tensor) for name, tensor in named.items()}


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
