"""Lists of values as text, as the files of other tuners have them; parsed and never evaluated."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.relation import computed

MOST_VALUES = 100_000
"""The most values of a list; a `range` may promise more than the memory holds."""


def listed(text: str) -> list[Any]:
    """Return the values of a list in Python's syntax.

    A list is `[1, 2, 4]`, `range(1, 11)`, `list(range(32, 1025, 32))`, `[2**i for i in range(6)]`,
    or the sum of such lists. The elements are what a `Relation` may compute.

    Raises:
        UsageError: The text is no such list.
    """
    try:
        values = _values(ast.parse(text.strip(), mode="eval").body, {})
        if not all(isinstance(value, str | int | float) for value in values):
            raise ValueError("a list in a list")
    except (SyntaxError, ValueError, RecursionError, MemoryError, ArithmeticError, TypeError):
        raise UsageError(f"{text!r} is no list of values, such as '[1, 2, 4]'") from None
    return values


def _values(node: ast.expr, known: Mapping[str, Any]) -> list[Any]:
    match node:
        case ast.List(elements) | ast.Tuple(elements):
            return [computed(element, known) for element in elements]
        case ast.BinOp(left, ast.Add(), right):
            return [*_values(left, known), *_values(right, known)]
        case ast.Call(ast.Name("list" | "tuple"), [inner], []):
            return _values(inner, known)
        case ast.Call(ast.Name("range"), [_, *_] as bounds, []) if len(bounds) <= 3:
            numbers = range(*(computed(bound, known) for bound in bounds))
            if len(numbers) > MOST_VALUES:
                raise ValueError("too many values")
            return list(numbers)
        case ast.ListComp(element, [one]) | ast.GeneratorExp(element, [one]):
            return _comprehended(element, one, known)
    raise ValueError("no list")


def _comprehended(element: ast.expr, one: ast.comprehension, known: Mapping[str, Any]) -> list[Any]:
    if not isinstance(one.target, ast.Name):
        raise TypeError("a comprehension of several names")
    bound = [{**known, one.target.id: value} for value in _values(one.iter, known)]
    kept = [names for names in bound if all(computed(test, names) for test in one.ifs)]
    return [computed(element, names) for names in kept]
