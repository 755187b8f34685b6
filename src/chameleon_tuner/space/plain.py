"""Design spaces as JSON of plain lists, dictionaries, strings and numbers, readable without TVM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.knob import Choice, Knob, Location, Tile
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace

_LARGEST = 2**31 - 1  # the largest value in the int32 arrays of factors


def to_plain(space: DesignSpace) -> list[list[dict[str, Any]]]:
    """Return the knobs of every sketch, in order, as dictionaries of their kind and fields."""
    return [[_plain_knob(knob) for knob in sketch.knobs] for sketch in space.sketches]


def from_plain(data: Any) -> DesignSpace:
    """Build a design space from plain data; the inverse of `to_plain`.

    Raises:
        UsageError: The data is not a design space.
    """
    if not isinstance(data, list) or not data:
        raise UsageError(f"not a design space: {_shown(data)} is no list of sketches")
    return DesignSpace(tuple(_sketch_of(sketch) for sketch in data))


def _plain_knob(knob: Knob) -> dict[str, Any]:
    if isinstance(knob, Tile):
        fields = ("extent", "parts", "max_innermost", "spatial")
        return {"kind": "tile", **{name: getattr(knob, name) for name in fields}}
    if isinstance(knob, Choice):
        return {"kind": "choice", "values": list(knob.values)}
    loops = [None if loop is None else list(loop) for loop in knob.loops]
    return {"kind": "location", "loops": loops, "inlinable": knob.inlinable}


def _sketch_of(data: Any) -> Sketch:
    if not isinstance(data, list):
        raise UsageError(f"not a design space: {_shown(data)} is no list of knobs")
    knobs = tuple(_knob_of(knob) for knob in data)
    for knob in knobs:
        if isinstance(knob, Location):
            _check_loops(knob, knobs)
    return Sketch(knobs)


def _knob_of(data: Any) -> Knob:
    match data:
        case {
            "kind": "tile",
            "extent": int(extent),
            "parts": int(parts),
            "max_innermost": int(innermost),
            "spatial": bool(spatial),
        } if _has_factors(extent, parts, innermost):
            return Tile(extent, parts, innermost, spatial)
        case {"kind": "choice", "values": [_, *_] as values} if all(map(_is_number, values)):
            return Choice(tuple(values))
        case {"kind": "location", "loops": list(loops), "inlinable": bool(inlinable)}:
            return Location(tuple(_loop_of(loop) for loop in loops), inlinable)
    raise UsageError(f"not a design space: {_shown(data)} is no knob")


def _has_factors(extent: int, parts: int, innermost: int) -> bool:
    positive = 0 < extent <= _LARGEST and parts > 0 and innermost > 0
    return positive and (parts > 1 or extent <= innermost)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf")


def _loop_of(data: Any) -> tuple[int, int] | None:
    match data:
        case None:
            return None
        case [int(knob), int(part)]:
            return knob, part
    raise UsageError(f"not a design space: {_shown(data)} is no loop")


def _check_loops(location: Location, knobs: Sequence[Knob]) -> None:
    """Raise a `UsageError` unless every known loop is a part of a tile of the same sketch."""
    parts = {number: knob.parts for number, knob in enumerate(knobs) if isinstance(knob, Tile)}
    for loop in location.loops:
        if loop is not None and not 0 <= loop[1] < parts.get(loop[0], 0):
            raise UsageError(f"not a design space: no tile of its sketch has the loop {list(loop)}")


def _shown(data: Any) -> str:
    """Return the beginning of invalid data, for an error message."""
    text = repr(data)
    return text if len(text) <= 80 else f"{text[:80]}..."
