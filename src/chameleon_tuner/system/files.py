"""Files: names in the folder of a tuned model, atomic writes, checks of paths, strict JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chameleon_tuner.core.errors import ModelError, OutputError

LIBRARY = "model.so"
"""The compiled library; the weights are beside it."""

MANIFEST = "manifest.json"
"""Inputs, outputs, target, required instructions and number of threads of the library."""

SUMMARY = "summary.json"
"""Every number of the run."""

REPORT = "report.md"
"""The run for people."""

PAGE = "report.html"
"""The run for people, with charts."""

RECORDS = "records.db"
"""Every measurement of the run."""

LOG = "log.txt"
"""Messages of native code."""


def require_file(path: str | Path) -> None:
    """Check that the file of a model exists.

    Raises:
        ModelError: If it does not exist.
    """
    if not Path(path).is_file():
        raise ModelError(f"{path}: no such file; give the path of an ONNX model")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file atomically: a concurrent reader sees all of the old or of the new content.

    Where that fails, for example on a full disk, nothing of the new content is left.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def user_cache() -> Path | None:
    """Return the folder for what the user's runs keep; None for a user without a home."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(base) / "chameleon-tuner"


def user_data() -> Path | None:
    """Return the folder for what the user's runs have learned; None for a user without a home."""
    try:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError:
        return None
    return Path(base) / "chameleon"


def strict_json(value: Any) -> Any:
    """Convert dataclasses, mappings and sequences to values of strict JSON.

    Strict JSON has no infinity and no nan; both become null.
    """
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class ScratchFolder:
    """A folder for temporary files, which is removed when nothing refers to the object any more.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="chameleon-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and check that files can be written into it.

    Raises:
        OutputError: If the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {error.strerror}") from None
