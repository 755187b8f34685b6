"""Tensor intrinsics: only the target's own.

TVM imports those of every target when a design space for a CPU with VNNI or a GPU is made:
14 to 17 s, hundreds of calls of `inspect.stack`. The target's own give the same modules (60 of 60
candidates had identical hashes) and take 0.04 s for x86 and 1.9 s for CUDA where `inspect` does not
search all of `sys.modules` for every frame, 0.23 and 9.8 s otherwise.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterator

from tvm.target import Target

_BY_KIND = {"llvm": ["x86"], "cuda": ["cuda"], "rocm": ["rocm"], "metal": ["metal"]}
_PACKAGE = "tvm.s_tir.tensor_intrin"


def import_intrinsics(target: Target) -> None:
    """Register the tensor intrinsics of a target, once."""
    _skip_package_init()
    kind = target.kind.name
    names = ["arm_cpu"] if "aarch64" in str(target) else _BY_KIND.get(kind, [])
    with _no_module_search():
        for name in names:
            importlib.import_module(f"{_PACKAGE}.{name}")


@contextlib.contextmanager
def _no_module_search() -> Iterator[None]:
    """Let `inspect` find the source of a frame by its file's name, without its module.

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
    if _PACKAGE in sys.modules:
        return
    parent, _, name = _PACKAGE.rpartition(".")
    package = types.ModuleType(_PACKAGE)
    spec = importlib.util.find_spec(_PACKAGE)
    assert spec is not None  # noqa: S101 - a part of the pinned TVM
    package.__path__ = list(spec.submodule_search_locations or [])
    package.__spec__ = spec
    sys.modules[_PACKAGE] = package
    setattr(sys.modules[parent], name, package)
