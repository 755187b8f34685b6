"""Which models are ONNX files, or can become one. Importing this module does not import TVM."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.tvm.frontend.exported import (
    SUFFIX,
    ExportError,
    load_program,
    to_onnx,
)
from chameleon_tuner.backends.tvm.frontend.reading import OnnxFile, read_onnx


def onnx_file(model: Any) -> OnnxFile | None:
    """Return a model as an ONNX file; None if it is none and cannot become one.

    A program of PyTorch goes through PyTorch's exporter: the result can be verified by, and has to
    beat, another runtime, and what TVM cannot compile runs there.

    Raises:
        ModelError: The file cannot be read, or the program cannot be tuned at all.
    """
    if isinstance(model, OnnxFile):
        return model
    name = Path(model).stem if isinstance(model, str | Path) else "model"
    model = opened(model)
    if isinstance(model, Path):
        return read_onnx(model)
    if not is_exported(model):
        return None
    try:
        return to_onnx(model, name)
    except ExportError:
        return None  # TVM's own importer may take it


def opened(model: Any) -> Any:
    """Return the program in a file of `torch.export.save`, and other models as they are.

    Raises:
        ModelError: The file cannot be read.
    """
    if not isinstance(model, str | Path):
        return model
    return load_program(Path(model)) if Path(model).suffix == SUFFIX else Path(model)


def is_exported(model: Any) -> bool:
    """Return whether a model is an exported program of PyTorch, which need not be installed."""
    return "torch" in sys.modules and isinstance(model, sys.modules["torch"].export.ExportedProgram)
