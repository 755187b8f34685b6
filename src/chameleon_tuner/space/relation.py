"""Constraints between the knobs of a sketch: as text, as a function, or as a table."""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from chameleon_tuner.core.errors import UsageError

Value = Any
"""A value of a knob: a number, a text, a truth value, or a tuple of a tile's factors."""

Test = Callable[[Sequence[Value]], Any]
"""A condition on the values of some knobs, in a fixed order."""


def _power(base: Any, exponent: Any) -> Any:
    """Raise to a power; a constraint must not fill the memory with a number."""
    if abs(exponent) > _LARGEST_EXPONENT:
        raise UsageError(f"a power has the exponent {exponent}: at most {_LARGEST_EXPONENT}")
    return base**exponent


_LARGEST_EXPONENT = 64

_BINARY: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}

_UNARY: Mapping[type[ast.AST], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}

_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    f.__name__: f for f in (abs, bool, float, int, max, min, round)
}


@dataclass(frozen=True)
class Relation:
    """A relation as text in Python's syntax, such as `block_size_x * block_size_y <= 1024`.

    The text is parsed by `ast` and never evaluated by Python: names, numbers, texts, arithmetic,
    comparisons, `and`, `or`, `not`, `a if b else c`, tuples, and the functions abs, bool, float,
    int, max, min and round are all there is.

    Attributes:
        text: The relation.

    Raises:
        UsageError: The text is no such relation.
    """

    text: str

    def __post_init__(self) -> None:
        """Check the text."""
        strange = _strange(self._tree)
        if strange:
            raise UsageError(
                f"the constraint {self.text!r} has {strange}; constraints are made of names, "
                "numbers, arithmetic and comparisons"
            )
        if not self.names:
            raise UsageError(f"the constraint {self.text!r} names no parameter")

    @cached_property
    def _tree(self) -> ast.expr:
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = getattr(error, "msg", "") or error
            raise UsageError(f"the constraint {self.text!r} cannot be read: {reason}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the knobs in the relation, in order of appearance."""
        return _names_of(self._tree)

    def parts(self) -> Iterator[Condition]:
        """Yield the conditions that must all hold, each with the knobs that it needs.

        A chain of `and`, or of comparisons such as `32 <= x * y <= 1024`, is several conditions: a
        solver discards a partial assignment at the first that fails.
        """
        for part in _conjuncts(self._tree):
            names = _names_of(part)
            columns = {name: column for column, name in enumerate(names)}
            yield Condition(names, _compiled(part, columns), self.text)


@dataclass(frozen=True)
class Condition:
    """A function of the values of some knobs.

    Attributes:
        names: The names of the knobs.
        compute: The function of their values, in the order of the names.
        text: What a message calls it.
    """

    names: tuple[str, ...]
    compute: Test
    text: str

    def __call__(self, *values: Value) -> bool:
        """Return whether the condition holds.

        Raises:
            UsageError: It cannot be computed, for example because it divides by zero.
        """
        try:
            return bool(self.compute(values))
        except (ArithmeticError, TypeError, ValueError) as error:
            pairs = zip(self.names, values, strict=True)
            at = ", ".join(f"{name}={value!r}" for name, value in pairs)
            raise UsageError(
                f"the constraint {self.text!r} cannot be computed at {at} ({error}); exclude the "
                "case, as in 'y == 0 or x % y == 0'"
            ) from None


@dataclass(frozen=True)
class Predicate:
    """A Python function that returns whether values are legal.

    Attributes:
        function: The function; its parameters are names of knobs. A function of one other
            parameter receives the values of all knobs as a dictionary, as in Kernel Tuner.
        names: The names of the knobs.
        whole: Whether the function receives a dictionary.
    """

    function: Callable[..., Any]
    names: tuple[str, ...]
    whole: bool = field(default=False)

    @staticmethod
    def of(function: Callable[..., Any], known: Sequence[str]) -> Predicate:
        """Return the constraint of a function.

        Args:
            function: The function.
            known: The names of all knobs.

        Raises:
            UsageError: The parameters of the function are no names of knobs.
        """
        names = tuple(inspect.signature(function).parameters)
        if len(names) == 1 and names[0] not in known:
            return Predicate(function, tuple(known), whole=True)
        return Predicate(function, names)

    def parts(self) -> Iterator[Condition]:
        """Yield the function as the only condition."""
        called = getattr(self.function, "__name__", "a function")
        if self.whole:
            yield Condition(
                self.names,
                lambda values: self.function(dict(zip(self.names, values, strict=True))),
                called,
            )
        else:
            yield Condition(self.names, lambda values: self.function(*values), called)


@dataclass(frozen=True)
class Table:
    """The list of all legal combinations of some knobs.

    Attributes:
        names: The names of the knobs.
        rows: The legal values of these knobs.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...] = field(repr=False)

    def parts(self) -> Iterator[Condition]:
        """Yield the membership in the table as the only condition."""
        legal = frozenset(self.rows)
        yield Condition(self.names, lambda values: tuple(values) in legal, "table")


Constraint = Relation | Predicate | Table


_KNOWN: tuple[type[ast.AST], ...] = (
    *_BINARY,
    *_UNARY,
    *(ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp),
    *(ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List, ast.Call),
)


def computed(node: ast.expr, known: Mapping[str, Value]) -> Value:
    """Return the value of an expression of known names, by the rules of a `Relation`.

    Raises:
        UsageError: The expression has something else.
    """
    strange = _strange(node)
    if strange:
        raise UsageError(f"an expression has {strange}; numbers, names and arithmetic make one")
    unknown = [name for name in _names_of(node) if name not in known]
    if unknown:
        raise UsageError(f"an expression names {unknown[0]!r}, which is unknown")
    columns = {name: column for column, name in enumerate(known)}
    return _compiled(node, columns)(tuple(known.values()))


def _strange(tree: ast.AST) -> str:
    """Return what no relation may have; an empty text where there is nothing of the kind."""
    nodes = (node for node in ast.walk(tree) if not isinstance(node, _KNOWN))
    return next(map(_described, nodes), "")


def _described(node: ast.AST) -> str:
    text = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


def _names_of(tree: ast.AST) -> tuple[str, ...]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return tuple(dict.fromkeys(node.id for node in names if id(node) not in called))


def _conjuncts(tree: ast.expr) -> Iterator[ast.expr]:
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for value in tree.values:
            yield from _conjuncts(value)
    elif isinstance(tree, ast.Compare) and len(tree.ops) > 1:
        sides = (tree.left, *tree.comparators)
        for left, kind, right in zip(sides, tree.ops, sides[1:], strict=False):
            yield ast.Compare(left, [kind], [right])
    else:
        yield tree


def _compiled(node: ast.expr, columns: Mapping[str, int]) -> Test:  # noqa: C901 - one case a node
    """Return the function that an expression is, of values in the order of the columns."""

    def inner(part: ast.expr) -> Test:
        return _compiled(part, columns)

    match node:
        case ast.Name(name):
            return operator.itemgetter(columns[name])
        case ast.Constant(bool() | int() | float() | str() as value):
            return lambda values: value
        case ast.Tuple(elements) | ast.List(elements):
            each = [inner(element) for element in elements]
            return lambda values: tuple(one(values) for one in each)
        case ast.UnaryOp(kind, operand):
            unary, of = _UNARY[type(kind)], inner(operand)
            return lambda values: unary(of(values))
        case ast.BinOp(left, kind, right) | ast.Compare(left, [kind], [right]):
            binary, a, b = _BINARY[type(kind)], inner(left), inner(right)
            return lambda values: binary(a(values), b(values))
        case ast.Compare():
            links = [inner(link) for link in _conjuncts(node)]
            return lambda values: all(link(values) for link in links)
        case ast.BoolOp(kind, parts):
            each, joined = [inner(part) for part in parts], all
            if isinstance(kind, ast.Or):
                return lambda values: any(one(values) for one in each)
            return lambda values: joined(one(values) for one in each)
        case ast.IfExp(test, then, other):
            asked, yes, no = inner(test), inner(then), inner(other)
            return lambda values: yes(values) if asked(values) else no(values)
        case ast.Call(ast.Name(name), [_, *_] as arguments, []) if name in _FUNCTIONS:
            function, given = _FUNCTIONS[name], [inner(argument) for argument in arguments]
            return lambda values: function(*(one(values) for one in given))
    raise UsageError(
        f"a constraint has {_described(node)}; known functions are {', '.join(sorted(_FUNCTIONS))}"
    )
