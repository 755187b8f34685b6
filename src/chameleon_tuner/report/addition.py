"""What a command adds to a tuned folder: figures, a chart, and a section of `report.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from chameleon_tuner.report.compare.style import saved
from chameleon_tuner.report.sections import markdown_table, put_section, terminal_table
from chameleon_tuner.result import REPORT
from chameleon_tuner.writing import strict_json, write_whole


@dataclass(frozen=True)
class Addition:
    """A table with its notes and its chart.

    Attributes:
        name: of the files, without ending.
        heading: of the section.
        title: what was measured, and where.
        header: of the table's columns.
        rows: cells of each.
        left: so many columns are flush left on a terminal.
        notes: what the table does not say.
        chart: what the chart is, after "the".
        shows: what it shows, for who cannot see it.
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
        """For the terminal."""
        return [self.title, *terminal_table(self.header, self.rows, self.left), *self.notes]

    def section(self, command: str) -> str:
        """For `report.md`."""
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
        """Write everything; the lines for the terminal.

        Args:
            folder: of the tuned model.
            data: becomes the JSON file; see `strict_json`.
            figure: the chart; call this in `styled`.
            command: that made it.
        """
        text = json.dumps(strict_json(data), indent=2, allow_nan=False)
        write_whole(folder / f"{self.name}.json", f"{text}\n")
        for ending in ("svg", "png"):
            write_whole(folder / f"{self.name}.{ending}", saved(figure, ending))
        put_section(folder / REPORT, self.heading, self.section(command))
        place = folder / self.name
        return [*self.lines(), f"{place}.json has the figures, {self.name}.svg the {self.chart}"]
