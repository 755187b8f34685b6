"""The shapes that a model is tuned for, where its inputs have open dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chameleon_tuner.core.errors import UsageError

Shape = Sequence[int]

Shapes = Mapping[str, Shape]
"""A shape by name of the input."""

GivenShapes = Mapping[str, Shape | Sequence[Shape]]
"""Shapes by name of the input: one each, or several for some of them."""


def variants(given: GivenShapes) -> list[dict[str, tuple[int, ...]]]:
    """Return one set of shapes for every variant of a model.

    Inputs with several shapes change together: their first shapes are one variant, their second
    ones the next. Inputs with a single shape have it in all.

    Args:
        given: Shapes by name of the input.

    Returns:
        At least one set of shapes by name.

    Raises:
        UsageError: Inputs have different numbers of shapes.
    """
    lists = {name: _listed(shapes) for name, shapes in given.items()}
    counts = {name: len(shapes) for name, shapes in lists.items() if len(shapes) > 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise UsageError(f"--shape: inputs that vary need as many shapes each, but {told}")
    number = max(counts.values(), default=1)
    every = {n: shapes * number if len(shapes) == 1 else shapes for n, shapes in lists.items()}
    sets = [
        {name: shapes[position] for name, shapes in every.items()} for position in range(number)
    ]
    for position, chosen in enumerate(sets):
        if chosen in sets[:position]:
            raise UsageError(f"--shape: {told_shapes(chosen)} is given twice")
    return sets


def told_shapes(shapes: Shapes) -> str:
    """Return shapes as they are typed: `x=1,3,48,320`."""
    return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items())


def _listed(shapes: Shape | Sequence[Shape]) -> list[tuple[int, ...]]:
    several = [shape for shape in shapes if isinstance(shape, Sequence)]
    if several:
        return [tuple(shape) for shape in several]
    return [tuple(int(extent) for extent in shapes if not isinstance(extent, Sequence))]
