"""TVM's runtime without its compiler: the code of a library, its threads, and its memory.

A program that runs a tuned library needs no `import tvm`, which loads a compiler of 150 MB: the FFI
package and two small shared libraries do. Only a library for a GPU imports it, to copy from and to
the device.
"""

from __future__ import annotations

import abc
import ctypes
import functools
import importlib.util
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm_ffi

LIBRARIES = ("libtvm_runtime.so", "libtvm_runtime_extra.so")
"""The runtime, and functions such as sorting that the code of a library may call."""

_POOLED = 2
"""Number of the virtual machine's allocator that keeps memory for the next call."""

ALIGNMENT = 64
"""Bytes to which code assumes that its arguments are aligned."""

_WORTHWHILE_BYTES = 1 << 14
"""To pass an array takes as long as to copy so many bytes."""

Array = npt.NDArray[Any]


@functools.cache
def load_runtime() -> None:
    """Load TVM's runtime into this process.

    Raises:
        ImportError: The package `apache-tvm` is not installed, or its libraries cannot be loaded.
    """
    for name in LIBRARIES:
        try:
            ctypes.CDLL(str(package_folder("tvm") / "lib" / name), ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise ImportError(str(error)) from None


def package_folder(name: str) -> Path:
    """Return the folder of a package, which is not imported.

    Raises:
        ImportError: It is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"the package {name} is missing: install Chameleon again")
    return Path(spec.submodule_search_locations[0])


class Code:
    """The code of a library, which is loaded until the process ends.

    Args:
        library: Path of the library.

    Attributes:
        own_threads: Whether its loops run on threads of its own, see `lower.threads`.
        told_threads: Whether it can be told how many.
        use_threads: Lets the next loops of the calling thread run on so many of those.
    """

    def __init__(self, library: Path) -> None:
        load_runtime()
        self._module = tvm_ffi.load_module(str(library))
        symbols = ctypes.PyDLL(str(library))  # calls are too short to release Python's lock
        self.own_threads = hasattr(symbols, "chameleon_parallel_launch")
        self.told_threads = hasattr(symbols, "chameleon_use_threads")
        self.use_threads: Callable[[int], Any] = getattr(
            symbols, "chameleon_use_threads", lambda number: None
        )

    def machine(self, place: Place) -> Any:
        """Return a virtual machine that runs the code at a place, in one thread at a time."""
        made = self._module["vm_load_executable"]()
        devices = dict.fromkeys((place.device, _cpu()))  # some functions run on the CPU anywhere
        numbers = [(each.dlpack_device_type(), each.index, _POOLED) for each in devices]
        made["vm_initialization"](*(number for mine in numbers for number in mine))
        return made


def load_tensors(path: Path) -> Mapping[str, Any]:
    """Return the tensors in a file of weights by name.

    Raises:
        RuntimeError: The file is missing or damaged.
    """
    load_runtime()
    loaded = tvm_ffi.get_global_func("runtime.LoadParamsFromFile")(str(path))
    return {str(name): tensor for name, tensor in loaded.items()}


# -- memory


class Place(abc.ABC):
    """Where code runs, and how arrays get there and back.

    Attributes:
        device: The device.
    """

    device: Any

    @abc.abstractmethod
    def passing(self, shape: tuple[int, ...], dtype: str) -> Callable[[Array], Any]:
        """Return a function for one input and one thread, which makes tensors of arrays.

        Args:
            shape: Shape of the arrays.
            dtype: Their dtype.

        Returns:
            The function. A tensor has the values of its array until the next call.
        """

    @abc.abstractmethod
    def returned(self, tensor: Any) -> Array:
        """Return the values of a tensor, in memory that may be the tensor's."""

    @abc.abstractmethod
    def placed(self, tensor: Any) -> Any:
        """Return a tensor of the CPU as one of this place."""

    @abc.abstractmethod
    def wait(self) -> None:
        """Wait until the device has done what it was told."""


def place_of(kind: str) -> Place:
    """Return the place for code of a kind of target, such as the CPU for `llvm`."""
    return OnCpu() if kind in ("llvm", "c") else OnDevice(kind)


class OnCpu(Place):
    """The CPU, whose memory NumPy shares."""

    def __init__(self) -> None:
        self.device = _cpu()

    def passing(self, shape: tuple[int, ...], dtype: str) -> Callable[[Array], Any]:
        """See `Place.passing`."""
        return _Passing(shape, dtype)

    def returned(self, tensor: Any) -> Array:
        """See `Place.returned`."""
        try:
            shared: Array = np.from_dlpack(tensor)
        except (BufferError, RuntimeError, TypeError):  # NumPy has no such dtype
            shared = _memory(tensor).copy()
        return shared

    def placed(self, tensor: Any) -> Any:
        """See `Place.placed`."""
        return tensor

    def wait(self) -> None:
        """See `Place.wait`."""


class OnDevice(Place):
    """A GPU, to and from which TVM copies.

    Args:
        kind: Kind of the target, such as `cuda`.
    """

    def __init__(self, kind: str) -> None:
        import tvm

        self._tvm, self.device = tvm, tvm.runtime.device(kind, 0)

    def passing(self, shape: tuple[int, ...], dtype: str) -> Callable[[Array], Any]:
        """See `Place.passing`."""
        return lambda array: self._tvm.runtime.tensor(array, self.device)

    def returned(self, tensor: Any) -> Array:
        """See `Place.returned`."""
        return np.asarray(tensor.numpy())

    def placed(self, tensor: Any) -> Any:
        """See `Place.placed`."""
        return tensor.copyto(self.device)

    def wait(self) -> None:
        """See `Place.wait`."""
        self.device.sync()


class _Passing:
    """Passes arrays to code on the CPU.

    An array that is aligned and large is passed as it is. Others are copied to memory that is used
    again for every call: new memory of a megabyte takes as long to get as to fill.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self._tensor, self._memory = _empty(shape, dtype)

    def __call__(self, array: Array) -> Any:
        if array.nbytes >= _WORTHWHILE_BYTES and _passable(array):
            return tvm_ffi.from_dlpack(array)
        np.copyto(self._memory, array)
        return self._tensor


def _passable(array: Array) -> bool:
    aligned = array.ctypes.data % ALIGNMENT == 0
    return aligned and array.dtype.kind in "fiu" and array.flags.writeable


def copied(array: Array) -> Any:
    """Return a new tensor of the CPU with the values of an array."""
    tensor, memory = _empty(array.shape, array.dtype.name)
    np.copyto(memory, array)
    return tensor


def _empty(shape: tuple[int, ...], dtype: str) -> tuple[Any, Array]:
    """Return a new tensor of the CPU, and its memory as an array that does not keep it alive."""
    tensor = _allocate()(tvm_ffi.Shape(shape), tvm_ffi.dtype(dtype), _cpu(), None)
    return tensor, _memory(tensor)


@functools.cache
def _allocate() -> Callable[..., Any]:
    load_runtime()
    found: Callable[..., Any] = tvm_ffi.get_global_func("runtime.TVMTensorAllocWithScope")
    return found


def _cpu() -> Any:
    return tvm_ffi.device("cpu", 0)


def _memory(tensor: Any) -> Array:
    """Return the memory of a tensor as an array that does not keep it alive."""
    dtype, shape = numpy_dtype(str(tensor.dtype)), tuple(map(int, tensor.shape))
    size = math.prod(shape) * dtype.itemsize
    if not size:
        return np.empty(shape, dtype)
    memory = memoryview((ctypes.c_byte * size).from_address(tensor.data_ptr()))
    found: Array = np.frombuffer(memory, dtype).reshape(shape)
    return found


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return a dtype by its name; NumPy knows some only once `ml_dtypes` is imported."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
