"""Tables for terminals and for Markdown, and sections that commands add to `report.md`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path

from chameleon_tuner.writing import write_whole

_UNLIMITED = 10_000
"""Columns of a file or a pipe, which gets every row on one line."""


def terminal_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """The lines of a table for standard output; `left` columns are flush left, the others right."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number < left else "right", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    text, width = StringIO(), None if sys.stdout.isatty() else _UNLIMITED
    Console(file=text, width=width, markup=False, highlight=False).print(shown)
    return [line.rstrip() for line in text.getvalue().rstrip().splitlines()]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with all columns but the first aligned to the right, readable as it stands."""
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    for number, row in enumerate([head, *rows]):
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
            yield f"| {' | '.join(rule)} |"


def put_section(report: Path, heading: str, text: str) -> None:
    """Put a section at the end of a report, in place of one that it had; nothing without one."""
    if report.is_file():
        write_whole(report, with_section(report.read_text(encoding="utf-8"), heading, text))


def with_section(page: str, heading: str, text: str) -> str:
    """A page with the section at its end, in place of one with that heading."""
    old = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    return f"{old.sub('', page).rstrip()}\n\n{text}"
