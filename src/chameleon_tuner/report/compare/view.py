"""What the report of a comparison shows: plain data, filled by whoever compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.report.compare.clusters import ClusterRound


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: above it.
        header: names of the columns.
        rows: cells as they are printed; the first of a row names it.
        note: a paragraph below it; empty for none.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class ComparisonView:
    """A comparison as its report shows it.

    Attributes:
        title: of the page.
        summary: the result in one paragraph.
        curves: of all runs; recipes and tasks are shown in the order of their appearance.
        tables: in order.
        facts: names and values of what the figures depend on: machine, versions, command.
        clusters: a round of adaptive sampling; None leaves its plot out.
    """

    title: str
    summary: str
    curves: Sequence[Curve]
    tables: Sequence[Table] = ()
    facts: Sequence[tuple[str, str]] = ()
    clusters: ClusterRound | None = None
