"""Design spaces of named parameters with values and constraints, as of a kernel with macros."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError, hint
from chameleon_tuner.space.knob import (
    MOST_ITEMS,
    Category,
    Choice,
    Knob,
    Permutation,
    Tile,
    values_of,
)
from chameleon_tuner.space.relation import Constraint, Predicate, Relation, Table
from chameleon_tuner.space.sketch import Sketch
from chameleon_tuner.space.space import DesignSpace


def parameter_space(
    parameters: Mapping[str, Sequence[Any] | Knob],
    constraints: Iterable[str | Callable[..., Any] | Constraint] = (),
) -> DesignSpace:
    """Return the design space of named parameters.

    ```python
    space = parameter_space(
        {"block_x": powers_of_two(16, 1024), "tile": [1, 2, 3, 4], "layout": ["row", "column"]},
        ["block_x * tile <= 1024", lambda tile, layout: layout == "row" or tile < 4],
    )
    ```

    Args:
        parameters: The values of each parameter: numbers are ordered as they are given; truth
            values, texts and mixtures are categories. A knob is taken as it is, for example
            `Category((1, 2, 4))` for numbers without an order, or a `Permutation`.
        constraints: Relations as text, functions whose parameters are names of parameters (or
            which take a dictionary of all values), or tables of what is legal.

    Returns:
        A space of one sketch, whose knobs have the names of the parameters.

    Raises:
        UsageError: A parameter or a constraint is not valid, or no combination is legal.
    """
    names = tuple(parameters)
    knobs = tuple(_knob(name, values) for name, values in parameters.items())
    sketch = Sketch(knobs, names, tuple(_constraint(given, names) for given in constraints))
    _ = sketch.groups  # what is wrong with the constraints is found now
    return DesignSpace((sketch,))


def integers(first: int, last: int, step: int = 1) -> Choice:
    """Return the ordered integers from the first to the last, both included.

    Args:
        first: The first integer.
        last: The largest integer.
        step: The difference of two neighbours.

    Returns:
        The knob.

    Raises:
        UsageError: There are none.
    """
    return _ordered(range(first, last + 1, step), f"integers from {first} to {last}")


def powers_of_two(first: int, last: int) -> Choice:
    """Return the powers of two from the first to the last number, both included."""
    powers = (1 << n for n in range(max(last, 0).bit_length()))
    return _ordered((p for p in powers if first <= p <= last), f"powers from {first} to {last}")


def booleans() -> Category:
    """Return the two truth values, false first."""
    return Category((False, True))


def values_at(space: DesignSpace, configuration: Configuration) -> dict[str, Any]:
    """Return the value of every named parameter in a configuration.

    The value of a tile is the tuple of its factors, and that of a permutation the order of its
    items.
    """
    sketch = space.sketches[configuration.sketch]
    chosen = zip(sketch.names, sketch.knobs, configuration.indices, strict=True)
    return {name: values_of(knob)[index] for name, knob, index in chosen}


def configuration_at(space: DesignSpace, values: Mapping[str, Any]) -> Configuration:
    """Return the configuration of named values; the inverse of `values_at`.

    Raises:
        UsageError: A parameter is missing or unknown, has no such value, or the combination breaks
            a constraint.
    """
    sketch = space.sketches[0]
    for name in values:
        if name not in sketch.names:
            near = hint(name, sketch.names)
            raise UsageError(f"unknown parameter {name!r}; {near}known: {', '.join(sketch.names)}")
    missing = [name for name in sketch.names if name not in values]
    if missing:
        raise UsageError(f"the parameters {', '.join(missing)} have no value")
    indices = tuple(
        _index(name, knob, values[name])
        for name, knob in zip(sketch.names, sketch.knobs, strict=True)
    )
    configuration = Configuration(0, indices)
    if not space.contains(configuration):
        raise UsageError(f"{dict(values)} breaks a constraint of the design space")
    return configuration


def _index(name: str, knob: Knob, value: Any) -> int:
    wanted = tuple(value) if isinstance(value, list) else value
    known = values_of(knob)
    if wanted not in known:
        shown = ", ".join(map(repr, known[:8])) + (", ..." if len(known) > 8 else "")
        raise UsageError(f"{name} has no value {value!r}; it has {shown}")
    return known.index(wanted)


def _knob(name: str, values: Sequence[Any] | Knob) -> Knob:
    if not name.isidentifier():
        raise UsageError(f"{name!r} is no name of a parameter: letters, digits and _ make one")
    if isinstance(values, Permutation) and len(values.items) > MOST_ITEMS:
        raise UsageError(f"{name} orders {len(values.items)} items: at most {MOST_ITEMS}")
    if isinstance(values, Knob):
        knob = values
    elif isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"the values of {name} are no list: {values!r}")
    else:
        listed = tuple(values)
        plain = all(isinstance(v, Real) and not isinstance(v, bool) for v in listed)
        knob = Choice(listed) if plain else Category(listed)
    _check_values(name, knob)
    return knob


def _check_values(name: str, knob: Knob) -> None:
    values = values_of(knob)
    if not len(values):
        raise UsageError(f"{name} has no value")
    if isinstance(knob, Choice | Category):
        for value in values:
            if not isinstance(value, str | int | float) or value != value:
                raise UsageError(f"a value of {name} is {value!r}: use numbers, texts or booleans")
    if not isinstance(knob, Tile) and len(set(values)) < len(values):
        raise UsageError(f"{name} has a value twice; name each value once")


def _constraint(given: str | Callable[..., Any] | Constraint, names: Sequence[str]) -> Constraint:
    if isinstance(given, str):
        return Relation(given)
    if isinstance(given, Relation | Predicate | Table):
        return given
    if callable(given):
        return Predicate.of(given, names)
    raise UsageError(f"a constraint is {given!r}: use text or a function")


def _ordered(values: Iterable[int], called: str) -> Choice:
    listed = tuple(values)
    if not listed:
        raise UsageError(f"there are no {called}")
    return Choice(listed)
