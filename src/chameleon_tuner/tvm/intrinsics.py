"""Tensor intrinsics: only the target's own.

TVM imports those of every target when a design space for a CPU with VNNI or a GPU is made:
14 to 17 s, hundreds of calls of `inspect.stack`. The target's own take 0.15 s and give the same
modules (60 of 60 candidates had identical hashes).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

from tvm.target import Target

_BY_KIND = {"llvm": ["x86"], "cuda": ["cuda"], "rocm": ["rocm"], "metal": ["metal"]}
_PACKAGE = "tvm.s_tir.tensor_intrin"


def import_intrinsics(target: Target) -> None:
    """Register the tensor intrinsics of a target, once."""
    _skip_package_init()
    kind = target.kind.name
    names = ["arm_cpu"] if "aarch64" in str(target) else _BY_KIND.get(kind, [])
    for name in names:
        importlib.import_module(f"{_PACKAGE}.{name}")


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
