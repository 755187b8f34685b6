"""The only package that imports TVM: spaces, building, running, verifying, applying."""

from __future__ import annotations

import os
import sys


def _import_tvm_alone() -> None:
    """Import TVM without PyTorch, which its FFI package loads whenever it is installed.

    Measured: 0.6 s and 190 MiB a process instead of 1.9 s and 386 MiB; workers never need torch,
    the main process may import it later.
    """
    os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
    if "tvm" in sys.modules or "torch" in sys.modules:
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # makes the import fail
    try:
        import tvm  # noqa: F401
    finally:
        del sys.modules["torch"]


_import_tvm_alone()
