"""The command `chameleon tasks`, which lists the tuning tasks of a model."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from chameleon_tuner.cli.native import NativeMessages
from chameleon_tuner.cli.options import parse_shapes, shape_option, target_option

if TYPE_CHECKING:
    from chameleon_tuner.core.shapes import GivenShapes
    from chameleon_tuner.space.task import Task


@click.command()
@click.argument("model")
@target_option
@shape_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def tasks(model: str, target: str, shapes: Sequence[str], as_json: bool) -> None:
    """List the tuning tasks of MODEL, an ONNX or .pt2 file: its distinct kernels.

    For every one its name, the shapes of its arguments, the floating-point operations of one
    call, the calls of it in the network, and its design space: how many configurations in how
    many sketches, of how many algorithms. Needs no device of the target.
    """
    from chameleon_tuner.space.task import by_kernel

    given = parse_shapes(shapes)
    with NativeMessages():
        found = list(by_kernel(_extract(model, target, given)).values())
    if as_json:
        click.echo(json.dumps([_plain(mine) for mine in found], indent=2))
    else:
        _print_table(found)


def _extract(model: str, target: str, shapes: GivenShapes) -> Sequence[Task]:
    """Read a model and return its tasks, those of all algorithms."""
    from chameleon_tuner.backends.tvm.backend import TVMBackend

    backend = TVMBackend()
    return backend.prepare(backend.read(model, target, shapes, runnable=False)).tasks


def _plain(mine: Sequence[Task]) -> dict[str, Any]:
    task = mine[0]
    return {
        "name": task.name,
        "arguments": list(task.arguments),
        "flops": task.flops,
        "weight": task.weight,
        "space": _space(mine),
        "sketches": _sketches(mine),
        "algorithms": [other.algorithm for other in mine],
    }


def _space(mine: Sequence[Task]) -> int:
    return sum(task.space.count for task in mine)


def _sketches(mine: Sequence[Task]) -> int:
    return sum(len(task.space.sketches) for task in mine)


def _arguments(each: Sequence[str]) -> str:
    """Return the shapes and dtypes of arguments; a common dtype is written once."""
    dtypes = {argument.rpartition(" ")[2] for argument in each}
    if len(dtypes) != 1:
        return ", ".join(each)
    return f"{', '.join(argument.rpartition(' ')[0] for argument in each)} {dtypes.pop()}"


def _print_table(found: Sequence[Sequence[Task]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from chameleon_tuner.report.numbers import plural, quantity, size

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    table.add_column("arguments, the output last", overflow="fold")
    for title in ("FLOP", "calls", "space", "sketches", "algorithms"):
        table.add_column(title, justify="right", no_wrap=True)
    for mine in sorted(found, key=lambda mine: -mine[0].weight * mine[0].flops):
        task = mine[0]
        numbers = (quantity(task.flops), task.weight, size(_space(mine)), _sketches(mine))
        table.add_row(task.name, _arguments(task.arguments), *map(str, (*numbers, len(mine))))
    # In a file or a pipe, every row is one line.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False).print(table)
    kernels = [mine[0] for mine in found]
    work = sum(task.weight * task.flops for task in kernels)
    calls = sum(task.weight for task in kernels)
    click.echo(f"{plural(len(found), 'task')}, {plural(calls, 'call')}, {quantity(work)}FLOP")
