"""Design spaces as JSON of plain lists, dictionaries, strings and numbers, readable without TVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.knob import (
    MOST_ITEMS,
    Category,
    Choice,
    Knob,
    Location,
    Permutation,
    Tile,
    values_of,
)
from chameleon_tuner.space.relation import Constraint, Relation, Table
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace

_LARGEST = 2**31 - 1  # the largest value in the int32 arrays of factors


def to_plain(space: DesignSpace) -> list[Any]:
    """Return the knobs of every sketch, in order, as dictionaries of their kind and fields.

    A sketch with names is a dictionary of its knobs, their names, and its constraints: relations as
    text, and what functions and tables leave as tables of the legal values.
    """
    return [_plain_sketch(sketch) for sketch in space.sketches]


def from_plain(data: Any) -> DesignSpace:
    """Build a design space from plain data; the inverse of `to_plain`.

    Raises:
        UsageError: The data is not a design space.
    """
    if not isinstance(data, list) or not data:
        raise UsageError(f"not a design space: {_shown(data)} is no list of sketches")
    return DesignSpace(tuple(_sketch_of(sketch) for sketch in data))


def _plain_sketch(sketch: Sketch) -> Any:
    knobs = [_plain_knob(knob) for knob in sketch.knobs]
    if not sketch.names:
        return knobs
    texts = [one.text for one in sketch.constraints if isinstance(one, Relation)]
    others = {
        name for one in sketch.constraints if not isinstance(one, Relation) for name in one.names
    }
    tables = [
        {"names": names, "rows": group.rows.tolist()}
        for group in sketch.groups
        if others.intersection(names := [sketch.names[column] for column in group.columns])
    ]
    return {"names": list(sketch.names), "knobs": knobs, "constraints": [*texts, *tables]}


def _plain_knob(knob: Knob) -> dict[str, Any]:
    if isinstance(knob, Tile):
        fields = ("extent", "parts", "max_innermost", "spatial")
        return {"kind": "tile", **{name: getattr(knob, name) for name in fields}}
    if isinstance(knob, Choice):
        return {"kind": "choice", "values": list(knob.values)}
    if isinstance(knob, Category):
        return {"kind": "category", "values": list(knob.values)}
    if isinstance(knob, Permutation):
        return {"kind": "permutation", "items": list(knob.items)}
    loops = [None if loop is None else list(loop) for loop in knob.loops]
    return {"kind": "location", "loops": loops, "inlinable": knob.inlinable}


def _sketch_of(data: Any) -> Sketch:
    match data:
        case {"names": list(names), "knobs": list(listed), "constraints": list(constraints)}:
            knobs = tuple(_knob_of(knob) for knob in listed)
            if len(set(names)) != len(knobs) or not all(isinstance(n, str) for n in names):
                raise UsageError("not a design space: its knobs have no distinct names")
            known = dict(zip(names, knobs, strict=True))
            given = tuple(_constraint_of(one, known) for one in constraints)
            return Sketch(knobs, tuple(names), given)
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
        case {"kind": "category", "values": [_, *_] as values} if _are_labels(values):
            return Category(tuple(values))
        case {"kind": "permutation", "items": [_, *_] as items} if _are_labels(items):
            if len(items) <= MOST_ITEMS:
                return Permutation(tuple(items))
        case {"kind": "location", "loops": list(loops), "inlinable": bool(inlinable)}:
            return Location(tuple(_loop_of(loop) for loop in loops), inlinable)
    raise UsageError(f"not a design space: {_shown(data)} is no knob")


def _constraint_of(data: Any, knobs: Mapping[str, Knob]) -> Constraint:
    match data:
        case str(text):
            return Relation(text)
        case {"names": [_, *_] as names, "rows": [_, *_] as rows} if set(names) <= set(knobs):
            values = [values_of(knobs[name]) for name in names]
            return Table(tuple(names), tuple(_values_of(row, values) for row in rows))
    raise UsageError(f"not a design space: {_shown(data)} is no constraint")


def _values_of(row: Any, values: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Return the values of a row of indices."""
    if isinstance(row, list) and len(row) == len(values):
        pairs = list(zip(row, values, strict=True))
        if all(isinstance(index, int) and 0 <= index < len(known) for index, known in pairs):
            return tuple(known[index] for index, known in pairs)
    raise UsageError(f"not a design space: {_shown(row)} is no row of its table")


def _has_factors(extent: int, parts: int, innermost: int) -> bool:
    positive = 0 < extent <= _LARGEST and parts > 0 and innermost > 0
    return positive and (parts > 1 or extent <= innermost)


def _are_labels(values: Sequence[Any]) -> bool:
    known = all(isinstance(value, str) or _is_number(value) for value in values)
    return known and len(set(values)) == len(values)


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
