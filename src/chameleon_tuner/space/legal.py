"""The legal values of knobs that constraints tie together, kept as arrays.

Only python-constraint2 knows how they are found; it is the solver on which Kernel Tuner stands, and
finds the 415,000 legal of 44 million configurations of a hotspot kernel in two seconds. OR-tools
(CP-SAT) takes 12 s for the 17,000 legal ones of a matrix product, where this takes 0.2 s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.space.knob import IntArray, Knob, Location, coordinates_of, values_of
from chameleon_tuner.space.relation import Condition, Constraint, Table

MOST = 4_000_000
"""The largest number of legal combinations of knobs that depend on one another: 0.2 GB."""


@dataclass(frozen=True)
class Group:
    """Knobs that depend on one another, directly or through others, with their legal values.

    Attributes:
        columns: The numbers of the knobs.
        knobs: The knobs.
        rows: The legal indices in lexicographic order, shape (n, columns).
    """

    columns: tuple[int, ...]
    knobs: tuple[Knob, ...]
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def contains(self, indices: IntArray) -> npt.NDArray[np.bool_]:
        """Return which indices of the group's knobs, shape (n, columns), are legal, (n,)."""
        keys = indices.astype(np.int64) @ self._strides
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.asarray(self._keys[found] == keys)

    def repaired(self, indices: IntArray) -> IntArray:
        """Return the nearest legal indices of each row, shape (n, columns).

        The distance is the sum of the steps of every knob; two categories are one step apart.
        """
        result: IntArray = indices.copy()
        wrong = np.flatnonzero(~self.contains(indices))
        if len(wrong):
            at, where = np.unique(indices[wrong], axis=0, return_inverse=True)
            _, nearest = self._tree.query(self._coordinates(at), p=1)
            result[wrong] = self.rows[np.atleast_1d(nearest)[where.ravel()]]
        return result

    @cached_property
    def _strides(self) -> npt.NDArray[np.int64]:
        """The place values of the indices, of which a key is the sum; modulo 2**63 if need be."""
        sizes = [1, *(len(knob) for knob in self.knobs[:0:-1])]
        values = itertools.accumulate(sizes, lambda a, b: a * b)
        return np.array([v % 2**63 for v in values][::-1], dtype=np.int64)

    @cached_property
    def _keys(self) -> npt.NDArray[np.int64]:
        keys: npt.NDArray[np.int64] = np.sort(self.rows.astype(np.int64) @ self._strides)
        return keys

    def _coordinates(self, indices: IntArray) -> npt.NDArray[np.float64]:
        parts = [coordinates_of(knob)[indices[:, column]] for column, knob in enumerate(self.knobs)]
        return np.concatenate(parts, axis=1)

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree  # the import takes a third of a second

        return cKDTree(self._coordinates(self.rows), compact_nodes=False, balanced_tree=False)


def groups_of(
    knobs: Sequence[Knob], names: Sequence[str], constraints: Sequence[Constraint]
) -> tuple[Group, ...]:
    """Return the groups of knobs that constraints tie together, with their legal values.

    Args:
        knobs: The knobs of a sketch.
        names: Their names.
        constraints: The constraints.

    Returns:
        The groups; a knob that no constraint names is in none.

    Raises:
        UsageError: A constraint names a knob that is not there or depends on others, nothing is
            legal, or too much is.
    """
    places = {name: number for number, name in enumerate(names)}
    for name in itertools.chain.from_iterable(constraint.names for constraint in constraints):
        if name not in places:
            raise UsageError(
                f"a constraint names {name!r}, which is no parameter; known: {', '.join(names)}"
            )
        if isinstance(knobs[places[name]], Location):
            raise UsageError(f"{name!r} is a location, and no constraint can name one")
    return tuple(
        _group(tuple(knobs[n] for n in columns), columns, names, mine)
        for columns, mine in _tied(places, constraints)
    )


def _tied(
    places: dict[str, int], constraints: Sequence[Constraint]
) -> Iterator[tuple[tuple[int, ...], list[Constraint]]]:
    """Yield knobs that share constraints, directly or through others, with these."""
    left = [(set(constraint.names), [constraint]) for constraint in constraints]
    while left:
        names, mine = left.pop(0)
        touching = [other for other in left if other[0] & names]
        if touching:
            left = [other for other in left if not other[0] & names]
            merged = names.union(*(other for other, _ in touching))
            left.insert(0, (merged, mine + [one for _, more in touching for one in more]))
        else:
            yield tuple(sorted(places[name] for name in names)), mine


def _group(
    knobs: tuple[Knob, ...],
    columns: tuple[int, ...],
    names: Sequence[str],
    constraints: Sequence[Constraint],
) -> Group:
    known = [names[column] for column in columns]
    index = [{value: n for n, value in enumerate(values_of(knob))} for knob in knobs]
    solutions = list(itertools.islice(_solutions(known, index, constraints), MOST + 1))
    if len(solutions) > MOST:
        raise UsageError(
            f"more than {MOST:,} combinations of {', '.join(known)} are legal: give them fewer "
            "values, or constraints that exclude more"
        )
    if not solutions:
        raise UsageError(f"no combination of {', '.join(known)} meets all constraints")
    rows = np.array(solutions, dtype=np.int32).reshape(len(solutions), len(known))
    return Group(columns, knobs, np.unique(rows, axis=0))


def _solutions(
    names: Sequence[str], index: Sequence[dict[Any, int]], constraints: Sequence[Constraint]
) -> Iterator[tuple[int, ...]]:
    """Yield the indices of all legal values."""
    whole = next(
        (t for t in constraints if isinstance(t, Table) and set(t.names) == set(names)), None
    )
    others = [
        c for constraint in constraints if constraint is not whole for c in constraint.parts()
    ]
    found = _solved(names, index, others) if whole is None else _listed(whole, names, others)
    for values in found:
        if all(value in known for value, known in zip(values, index, strict=True)):
            yield tuple(known[value] for value, known in zip(values, index, strict=True))


def _listed(
    table: Table, names: Sequence[str], others: Sequence[Condition]
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that meet the other conditions."""
    for row in table.rows:
        at = dict(zip(table.names, row, strict=True))
        if all(other(*(at[name] for name in other.names)) for other in others):
            yield tuple(at[name] for name in names)


def _solved(
    names: Sequence[str], index: Sequence[dict[Any, int]], conditions: Sequence[Condition]
) -> Iterator[tuple[Any, ...]]:
    """Yield the values that meet all conditions."""
    from constraint import FunctionConstraint, OptimizedBacktrackingSolver, Problem

    problem = Problem(OptimizedBacktrackingSolver())
    for name, values in zip(names, index, strict=True):
        problem.addVariable(name, list(values))
    for condition in conditions:
        problem.addConstraint(FunctionConstraint(condition), list(condition.names))
    for solution in problem.getSolutionIter():
        yield tuple(solution[name] for name in names)
