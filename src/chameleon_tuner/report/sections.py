"""Tables for the terminal and for Markdown, and the sections that commands add to `report.md`."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chameleon_tuner.system.files import MANIFEST, REPORT, strict_json, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNLIMITED = 10_000
"""The width in characters of a file or a pipe, in which every row is on one line."""


def terminal_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Return the lines of a table for standard output.

    Args:
        header: Names of the columns.
        rows: The cells of each row.
        left: Number of columns aligned to the left; the others are aligned to the right.

    Returns:
        The lines, as wide as the terminal; in a file or a pipe every row is one line.
    """
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
    """Yield the lines of a Markdown table that is also readable as plain text.

    The first column is aligned to the left, the others are aligned to the right.
    """
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
    """Write a section at the end of a report, in place of an older one with the same heading.

    If there is no report, nothing is written.

    Args:
        report: Path of the report.
        heading: Heading of the section, a line of Markdown.
        text: The whole section with its heading.
    """
    if report.is_file():
        write_whole(report, with_section(report.read_text(encoding="utf-8"), heading, text))


def with_section(page: str, heading: str, text: str) -> str:
    """Return a page with a section at its end, in place of an older one with the same heading.

    Args:
        page: The page in Markdown.
        heading: Heading of the section, a line of Markdown.
        text: The whole section with its heading.

    Returns:
        The new page.
    """
    old = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    return f"{old.sub('', page).rstrip()}\n\n{text}"


_OF = "manifest_sha256"
"""The entry in the JSON file of an addition that says of which state of the folder it is."""


def _state(folder: Path) -> str:
    """Return what changes whenever the model in a folder is deployed anew; empty without one."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""


def read_addition(folder: Path, name: str) -> dict[str, Any] | None:
    """Return what a command has added to a folder; None if it is not of the model in it.

    Args:
        folder: Folder of the tuned model.
        name: Name of the addition, such as `profile`.

    Returns:
        The content of its JSON file; None if there is none, or if it was made before the model was
        tuned again.
    """
    try:
        data = json.loads((folder / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    mine = isinstance(data, dict) and data.get(_OF)
    return data if mine and mine == _state(folder) else None


@dataclass(frozen=True)
class Addition:
    """A table with notes and a chart, which a command adds to `report.md`.

    Attributes:
        name: Name of the files without suffix.
        heading: Heading of the section, a line of Markdown.
        title: What was measured, and where.
        header: Names of the table's columns.
        rows: The cells of each row.
        left: Number of columns aligned to the left on a terminal.
        notes: Explanations that follow the table.
        chart: Noun for the chart, such as "roofline".
        shows: Alternative text of the chart for readers who cannot see it.
    """

    name: str
    heading: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int
    notes: Sequence[str]
    chart: str
    shows: str

    def lines(self) -> list[str]:
        """Return the lines for the terminal."""
        return [self.title, *terminal_table(self.header, self.rows, self.left), *self.notes]

    def section(self, command: str) -> str:
        """Return the section for `report.md`."""
        return "\n".join(
            [
                *(self.heading, "", f"{self.title}.", ""),
                *(*markdown_table(self.header, self.rows), ""),
                *(f"- {note}" for note in self.notes),
                *("", f"![{self.shows}]({self.name}.svg)", ""),
                *("```", command, "```", ""),
            ]
        )

    def write(self, folder: Path, data: Any, figure: Figure, command: str) -> list[str]:
        """Write the JSON file, the chart and the section; to be called inside `styled`.

        Args:
            folder: Folder of the tuned model.
            data: Content of the JSON file; see `strict_json`.
            figure: The chart.
            command: Command line that made the addition.

        Returns:
            The lines for the terminal.
        """
        from chameleon_tuner.report.style import saved  # a report without a chart needs no plots

        whole = {**strict_json(data), _OF: _state(folder)}
        text = json.dumps(whole, indent=2, allow_nan=False)
        write_whole(folder / f"{self.name}.json", f"{text}\n")
        for ending in ("svg", "png"):
            write_whole(folder / f"{self.name}.{ending}", saved(figure, ending))
        put_section(folder / REPORT, self.heading, self.section(command))
        place = folder / self.name
        return [*self.lines(), f"{place}.json has the figures, {self.name}.svg the {self.chart}"]
