"""How the time of a run is read: from the wall clock, or from what the program says."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator
from typing import Any

from chameleon_tuner.backends.program.spec import RATE, UNITS, TimeReading


class ReadingError(Exception):
    """An output in which there is no time."""


def seconds_in(text: str, reading: TimeReading) -> float:
    """Return the seconds that an output tells, the median where it tells several.

    Raises:
        ReadingError: There is none, or it is not a positive number.
    """
    numbers = list(_matches(text, reading) if reading.pattern else _field(text, reading.json))
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ReadingError(
            f"the time is {min(numbers):g} {reading.unit}: it has to be more than 0; "
            "let the program print more digits, or a smaller unit"
        )
    number = statistics.median(numbers)
    return 1.0 / number if reading.unit == RATE else number * UNITS[reading.unit]


def without_time(text: str, reading: TimeReading) -> str:
    """Return an output without what `seconds_in` reads: it is another one in every run."""
    if reading.pattern:
        return re.sub(reading.pattern, "", text, flags=re.MULTILINE)
    if not reading.json:
        return text
    try:
        data = json.loads(text)
        *places, last = reading.json.split(".")
        holder = _at(data, places)
        del holder[int(last) if isinstance(holder, list) else last]
    except (ValueError, KeyError, IndexError, TypeError):
        return text
    return json.dumps(data, indent=1)


def _matches(text: str, reading: TimeReading) -> Iterator[float]:
    found = re.findall(reading.pattern, text, flags=re.MULTILINE)
    if not found:
        raise ReadingError(f"nothing in {reading.of.text} matches time.pattern {reading.pattern!r}")
    for number in found:
        try:
            yield float(number)
        except ValueError:
            raise ReadingError(f"time.pattern finds {number!r}, which is not a number") from None


def _field(text: str, path: str) -> list[float]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ReadingError(f"the output is not JSON: {error}") from None
    try:
        value = _at(data, path.split("."))
    except (KeyError, IndexError, ValueError, TypeError):
        raise ReadingError(f"the output has no field {path!r}") from None
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(type(number) in (int, float) for number in numbers):
        raise ReadingError(f"the field {path!r} is not a number, nor a list of numbers")
    return [float(number) for number in numbers]


def _at(data: Any, places: list[str]) -> Any:
    for place in places:
        data = data[int(place)] if isinstance(data, list) else data[place]
    return data
