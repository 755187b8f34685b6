"""Files in the FAIR formats as JSON documents, and of which format each is."""

from __future__ import annotations

import enum
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from chameleon_tuner.core.errors import UsageError

_GZIP = b"\x1f\x8b"


class Format(enum.Enum):
    """The format of a file."""

    T1 = "T1 input"
    CACHE = "Kernel Tuner cache"
    T4 = "T4 results"


def read_document(path: Path) -> tuple[Format, dict[str, Any]] | None:
    """Read a file in one of the formats, compressed or not.

    Args:
        path: The file. A cache that a running tuner has not closed yet is read, too.

    Returns:
        The format and the content; None if the file has none of the formats.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP) else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); restore it or name another") from None
    content = _parsed(text)
    kind = format_of(content)
    return (kind, content) if kind and isinstance(content, dict) else None


def format_of(content: Any) -> Format | None:
    """Return the format of a JSON document; None if it has none of them."""
    match content:
        case {"ConfigurationSpace": {"TuningParameters": list()}}:
            return Format.T1
        case {"tune_params_keys": list(), "cache": dict()}:
            return Format.CACHE
        case {"results": list()}:
            return Format.T4
    return None


def _parsed(text: str) -> Any:
    """Parse JSON; Kernel Tuner appends to a cache, and closes its braces when it ends."""
    for ending in ("", "}}"):
        try:
            return json.loads(text if not ending else text.rstrip().rstrip(",") + ending)
        except (ValueError, RecursionError):
            continue
    return None
