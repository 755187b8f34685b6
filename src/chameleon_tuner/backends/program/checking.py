"""Whether the output of a run is that of the reference."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import numpy.typing as npt

from chameleon_tuner.backends.program.spec import OutputCheck
from chameleon_tuner.core.agreement import difference

_NUMBER = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?\b(?:nan|inf(?:inity)?)\b", re.IGNORECASE
)
_NPY = b"\x93NUMPY"
_SHOWN = 60
"""Characters of a line that a message quotes."""


def wrong(mine: bytes, theirs: bytes, check: OutputCheck) -> str:
    """Return what is wrong with an output; an empty text if nothing is.

    Args:
        mine: The output.
        theirs: The reference.
        check: How they are compared.

    Returns:
        One line.
    """
    if mine == theirs:
        return ""
    if check.dtype or theirs.startswith(_NPY):
        return _wrong_array(mine, theirs, check)
    try:
        left, right = mine.decode(), theirs.decode()
    except UnicodeDecodeError:
        return _wrong_bytes(mine, theirs)
    for pattern in check.ignore:
        left, right = (re.sub(pattern, "", text, flags=re.MULTILINE) for text in (left, right))
    if left == right:
        return ""
    return _wrong_text(left.splitlines(), right.splitlines(), check)


def _wrong_bytes(mine: bytes, theirs: bytes) -> str:
    if len(mine) != len(theirs):
        return f"it has {len(mine):,} bytes, and the reference {len(theirs):,}"
    place = next(
        (n for n, pair in enumerate(zip(mine, theirs, strict=True)) if len({*pair}) > 1), 0
    )
    return f"it differs from the reference from byte {place:,} on"


def _wrong_text(mine: list[str], theirs: list[str], check: OutputCheck) -> str:
    for number, (left, right) in enumerate(zip(mine, theirs, strict=False), start=1):
        if left != right and not _close(left, right, check):
            return f"line {number} is {_quoted(left)}, and in the reference {_quoted(right)}"
    if len(mine) != len(theirs):
        return f"it has {len(mine):,} lines, and the reference {len(theirs):,}"
    return "" if check.tolerance is not None else "it differs from the reference in its line ends"


def _quoted(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")


def _close(mine: str, theirs: str, check: OutputCheck) -> bool:
    """Return whether two lines have the same words, and numbers within the tolerance.

    The tolerance is relative to the largest magnitude of the line: the sum of numbers that cancel
    out has no digits of its own.
    """
    if check.tolerance is None or _words(mine) != _words(theirs):
        return False
    left, right = ([float(n) for n in _NUMBER.findall(line)] for line in (mine, theirs))
    largest = max((abs(n) for n in right if math.isfinite(n)), default=0.0)
    allowed = max(check.tolerance * largest, check.absolute)
    return all(
        abs(a - b) <= allowed if math.isfinite(a) and math.isfinite(b) else _same(a, b)
        for a, b in zip(left, right, strict=True)
    )


def _words(line: str) -> list[str]:
    """Return the words of a line, in which all numbers are the same."""
    return _NUMBER.sub("0", line).split()


def _same(mine: float, theirs: float) -> bool:
    return mine == theirs or (math.isnan(mine) and math.isnan(theirs))


def _wrong_array(mine: bytes, theirs: bytes, check: OutputCheck) -> str:
    try:
        arrays = [_array(content, check.dtype) for content in (mine, theirs)]
    except (ValueError, EOFError) as error:
        return f"it is no array: {error}"
    left, right = arrays
    if left.shape != right.shape:
        return f"it has the shape {left.shape}, and the reference {right.shape}"
    if check.tolerance is None:
        same = np.array_equal(left, right, equal_nan=right.dtype.kind in "fc")
        return "" if same else "its numbers are not those of the reference"
    parts = [(a.real, a.imag) if a.dtype.kind == "c" else (a,) for a in arrays]
    apart = difference(parts[0], parts[1])
    within = apart <= check.tolerance  # NaN is not
    return "" if within else f"it differs by {apart:.2g} of the largest number"


def _array(content: bytes, dtype: str) -> npt.NDArray[np.generic]:
    if content.startswith(_NPY):
        loaded: npt.NDArray[np.generic] = np.load(io.BytesIO(content), allow_pickle=False)
        return loaded
    return np.frombuffer(content, dtype=dtype or "uint8")
