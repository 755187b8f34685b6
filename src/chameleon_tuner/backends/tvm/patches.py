"""Every change to the global state of TVM or Python, with its reason.

They apply in processes that this project owns: the command's own process, its workers, and the
processes of a comparison. A library that only loads a tuned model needs none of them. This module
imports neither TVM nor anything that does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from typing import Any

# -- PyTorch hidden from TVM

_IMPORTS_TORCH = ("tvm", "tvm_ffi")


class _WithoutTorch(Loader):
    """Loads a module while an import of PyTorch fails."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # such as the reader of package data

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """See `Loader.create_module`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """See `Loader.exec_module`."""
        if "torch" in sys.modules:
            self._loader.exec_module(module)
            return
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes the import fail
        try:
            self._loader.exec_module(module)
        finally:
            del sys.modules["torch"]


class _TVMFinder(MetaPathFinder):
    """Finds TVM as everybody else would, and lets it be loaded without PyTorch."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `MetaPathFinder.find_spec`."""
        if fullname not in _IMPORTS_TORCH:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithoutTorch(spec.loader)
        return spec


def hide_torch_from_tvm() -> None:
    """Let TVM be imported without PyTorch, which its FFI package loads wherever it is installed.

    Measured: 0.6 s and 190 MiB a process instead of 1.9 s and 386 MiB. Workers never need
    PyTorch, and the main process may import it later.
    """
    os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
    if not any(isinstance(finder, _TVMFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TVMFinder())


# -- tensor intrinsics

_INTRINSICS = "tvm.s_tir.tensor_intrin"
_INTRINSICS_BY_KIND = {"llvm": ["x86"], "cuda": ["cuda"], "rocm": ["rocm"], "metal": ["metal"]}


def import_intrinsics(kind: str, *, aarch64: bool) -> None:
    """Register the tensor intrinsics of one target, and those of no other.

    TVM imports the intrinsics of every target when it makes a design space for a CPU with VNNI or
    for a GPU: 14 to 17 s, in hundreds of calls of `inspect.stack`. The target's own give the same
    modules (60 of 60 candidates had identical hashes) and take 0.04 s for x86 and 1.9 s for CUDA
    where `inspect` does not search all of `sys.modules` for every frame, 0.23 and 9.8 s otherwise.

    Args:
        kind: Kind of the target, as TVM names it.
        aarch64: Whether the target is an Arm CPU.
    """
    _skip_package_init()
    names = ["arm_cpu"] if aarch64 else _INTRINSICS_BY_KIND.get(kind, [])
    with _no_module_search():
        for name in names:
            importlib.import_module(f"{_INTRINSICS}.{name}")


@contextlib.contextmanager
def _no_module_search() -> Iterator[None]:
    """Let `inspect` find the source of a frame by its file's name, without searching its module.

    It needs the module only for code that comes out of an archive.
    """
    search = inspect.getmodule
    inspect.getmodule = lambda *args: None
    try:
        yield
    finally:
        inspect.getmodule = search


def _skip_package_init() -> None:
    """Make the package importable without its `__init__`, which imports every target's."""
    if _INTRINSICS in sys.modules:
        return
    parent, _, name = _INTRINSICS.rpartition(".")
    importlib.import_module(parent)
    package = types.ModuleType(_INTRINSICS)
    spec = importlib.util.find_spec(_INTRINSICS)
    assert spec is not None  # noqa: S101 - a part of the pinned TVM
    package.__path__ = list(spec.submodule_search_locations or [])
    package.__spec__ = spec
    sys.modules[_INTRINSICS] = package
    setattr(sys.modules[parent], name, package)


# -- arguments of schedules


def skip_argument_checks() -> None:
    """Let the methods of TVM's schedules be called without a check of their arguments in Python.

    The check interprets the annotations of all parameters at every call, and writes a message for
    every member of a union that an argument is not: a `get` takes 100 us with it and 2 us without.
    Deriving the design spaces of Swin-T's 91 kernels takes 3.5 s instead of 4.1 s. An argument of a
    wrong type is still an error, of TVM's C++.
    """
    schedule: Any = importlib.import_module("tvm.s_tir.schedule").Schedule
    for name, method in list(vars(schedule).items()):
        if (unchecked := getattr(method, "__wrapped__", None)) is not None:
            setattr(schedule, name, unchecked)


# -- ONNX converters


@contextlib.contextmanager
def onnx_converters(ours: Mapping[str, Any]) -> Iterator[None]:
    """Put converters of this project in the place of TVM's, while a model is imported.

    TVM offers no way to register a converter: its table is made by a private function.

    Args:
        ours: Converters by the name of the ONNX operator.
    """
    frontend: Any = importlib.import_module("tvm.relax.frontend.onnx").onnx_frontend
    original = frontend._get_convert_map
    frontend._get_convert_map = lambda: {**original(), **ours}
    try:
        yield
    finally:
        frontend._get_convert_map = original


# -- MetaSchedule's own processes, in comparisons

_NO_TORCH = 'raise ImportError("hidden from TVM")\n'
"""A module `torch` that hides PyTorch: TVM's builder would import it in every worker of every round
(docs/log.md)."""

_QUICK_FRAMES = '''\
"""Frames of the import system are of no module: nothing is gone through for them."""

import inspect

_getmodule = inspect.getmodule


def getmodule(object, _filename=None):
    if inspect.isframe(object) and object.f_code.co_filename.startswith("<frozen"):
        return None
    return _getmodule(object, _filename)


inspect.getmodule = getmodule
'''
"""A module `sitecustomize` that speeds up the import of TVM's tensor intrinsics.

For frames of the import system, which belong to no module, `inspect.getmodule` would search through
all modules that are loaded."""


def eased_path(scratch: Path) -> str:
    """Write modules that speed up MetaSchedule's imports and return a PYTHONPATH with them.

    Args:
        scratch: Folder for the modules; it must exist as long as the processes run.
    """
    (scratch / "torch.py").write_text(_NO_TORCH)
    (scratch / "sitecustomize.py").write_text(_QUICK_FRAMES)
    return os.pathsep.join(filter(None, (str(scratch), os.environ.get("PYTHONPATH", ""))))
