"""What a machine can keep of the rules for docstrings; docs/contributing.md has all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "chameleon_tuner"
MODULES = sorted(SOURCE.rglob("*.py"))
MANY = 3
"""Parameters from which on a public function describes every one of them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def public_functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def parameters(function: Function) -> list[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [a.arg for a in named if a.arg not in ("self", "cls")]


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings of modules, classes and functions, and the strings below attributes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | Function):
            continue
        for child in node.body:
            value = child.value if isinstance(child, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield child.lineno, value.value


def returns_something(function: Function) -> bool:
    returned = function.returns
    nothing = isinstance(returned, ast.Constant) and returned.value is None
    return returned is not None and not nothing


def delegates(text: str) -> bool:
    """Whether a docstring points to that of the interface that it implements."""
    return text.startswith("See `")


def in_fixture(function: Function) -> bool:
    """Whether it is a fixture or a test, whose parameters pytest fills in."""
    fixture = any(
        "fixture" in ast.unparse(d) or "given" in ast.unparse(d) for d in function.decorator_list
    )
    return fixture or function.name.startswith("test_")


def is_command(function: Function) -> bool:
    """Whether it is a click command: its docstring is a help text, its options have their own."""
    return any("click" in ast.unparse(d) for d in function.decorator_list)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_docstrings(path: Path) -> None:
    tree, found = ast.parse(path.read_text()), []
    for line, text in texts(tree):
        first = text.strip().split("\n")[0]
        if first.startswith(("Of ", "TODO")):
            found.append(f"{path.name}:{line}: begins with a fragment: {first!r}")
    for function in public_functions(tree):
        text = ast.get_docstring(function) or ""
        if delegates(text) or in_fixture(function) or is_command(function):
            continue
        names = parameters(function)
        if len(names) >= MANY and "Args:" not in text:
            found.append(f"{path.name}:{function.lineno}: {function.name} has no Args:")
        if "Args:" in text:
            missing = [n for n in names if f"{n}:" not in text]
            if missing:
                found.append(f"{path.name}:{function.lineno}: {function.name} lacks {missing}")
        yields = any(word in text for word in ("Returns:", "Yields:"))
        if len(names) >= MANY and returns_something(function) and not yields:
            found.append(f"{path.name}:{function.lineno}: {function.name} has no Returns:")
    assert not found, "\n".join(found)
