"""Where a model should be, and whether it is there; looked at before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from chameleon_tuner.errors import ModelError


def require_file(path: str | Path) -> None:
    """Make sure that there is a file.

    Raises:
        ModelError: there is none.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file; give the path of an ONNX model")
