"""The HTML page of a comparison, the files of its figures, and its lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chameleon_tuner.bench.compare.comparison import Compared
from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.merit import Merit
from chameleon_tuner.bench.paper.rounds import sampling_round
from chameleon_tuner.bench.paper.tables import paper_tables
from chameleon_tuner.report.compare.bars import two_by_two, where_time_went
from chameleon_tuner.report.compare.clusters import ClusterRound, cluster_round, scatter
from chameleon_tuner.report.compare.curves import AXES, by_task, over_tasks
from chameleon_tuner.report.compare.tables import Table, merit_tables, paper_section, score_table
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.report.sections import terminal_table
from chameleon_tuner.report.style import Drawing, inlined, saved, styled
from chameleon_tuner.system.files import write_whole


@dataclass(frozen=True)
class ComparisonView:
    """The content of a comparison's report.

    Attributes:
        title: Title of the page.
        summary: The result in one paragraph.
        curves: Curves of all runs; recipes and tasks are shown in the order of first appearance.
        tables: Tables in the order of the page.
        facts: Names and values of the conditions: machine, versions, command.
        clusters: A round of adaptive sampling; None omits its plot.
    """

    title: str
    summary: str
    curves: Sequence[Curve]
    tables: Sequence[Table] = ()
    facts: Sequence[tuple[str, str]] = ()
    clusters: ClusterRound | None = None


PAGE = "report.html"
FIGURES = "figures"


def write_report(out: Path, view: ComparisonView) -> list[Path]:
    """Write `report.html` and the figures of a comparison, each as SVG and as PNG.

    The page contains its figures and its style, so that it works offline and without other files.
    The same view gives identical files. Figures without data are omitted.

    Args:
        out: Folder of the report, which is created if it does not exist.
        view: Content of the report.

    Returns:
        The paths of the files: the page first, then the figures.
    """
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    figures, files = [], []
    with styled():
        for drawing in _drawings(view):
            images = {ending: saved(drawing.figure, ending) for ending in ("svg", "png")}
            for ending, image in images.items():
                files.append(out / FIGURES / f"{drawing.name}.{ending}")
                write_whole(files[-1], image)
            figures.append((drawing, inlined(images["svg"].decode(), drawing.name)))
    write_whole(out / PAGE, _page(view, figures))
    return [out / PAGE, *files]


def _drawings(view: ComparisonView) -> Iterator[Drawing]:
    drawings = [
        over_tasks(view.curves),
        *(by_task(view.curves, axis) for axis in AXES),
        two_by_two(view.curves),
        where_time_went(view.curves),
        scatter(view.clusters) if view.clusters else None,
    ]
    yield from (drawing for drawing in drawings if drawing)


def _page(view: ComparisonView, figures: list[tuple[Drawing, Markup]]) -> str:
    environment = Environment(
        loader=PackageLoader("chameleon_tuner.report", "compare"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    ended = [curve for curve in view.curves if curve.error]
    template = environment.get_template("page.html.jinja")
    return template.render(view=view, figures=figures, ended=ended) + "\n"


def write_comparison(compared: Compared) -> list[str]:
    """Write the report and its figures, and return the closing lines for the terminal."""
    scored = score_table(compared.scores)
    tables = [*scored, *merit_tables(compared.merit)]
    write_report(compared.folder, view_of(compared, tables))
    shown = [line for table in tables[: len(scored) + 2] for line in (*_printed(table), "")]
    path = compared.folder
    return [*shown, summary(compared.merit), f"{path}/report.html has the figures"]


def view_of(compared: Compared, tables: list[Table]) -> ComparisonView:
    """Return the content of a comparison's report.

    Args:
        compared: The comparison.
        tables: The tables of its figures of merit.
    """
    weights = {task.name: float(task.weight) for task in compared.tasks}
    versions = ", ".join(f"{name} {version}" for name, version in compared.versions.items())
    return ComparisonView(
        title=f"Tuners on {compared.suite}",
        summary=summary(compared.merit),
        curves=compared.curves,
        tables=[*tables, *paper_section(paper_tables(compared.curves, weights))],
        facts=[
            ("tasks and runs", _extent(compared)),
            *compared.facts.items(),
            ("versions", versions),
        ],
        clusters=_clusters(compared),
    )


def summary(merit: Merit) -> str:
    """Return the result as one sentence with a clause for every recipe."""
    said = []
    for name, recipe in merit.recipes.items():
        if name == merit.reference:
            continue
        final, sooner = recipe.at_equal_trials, recipe.reach.seconds.strict
        if not final.pairs or not np.isfinite([final.value, sooner.value]).all():
            continue
        reached = f"{recipe.reach.reached} of {plural(recipe.reach.runs, 'run')}"
        said.append(
            f"{name} ends at {final.value:.2f} of its latency and reaches it "
            f"{sooner.value:.2f} times as soon, in {reached}"
        )
    if not said:
        return f"Nothing to hold against {merit.reference}."
    return f"Against {merit.reference}, at equal trials: {'; '.join(said)}."


def _extent(compared: Compared) -> str:
    merit = compared.merit
    return (
        f"{plural(len(merit.tasks), 'task')}, {plural(len(merit.recipes), 'recipe')}, "
        f"{plural(len(merit.seeds), 'seed')}: {plural(len(compared.curves), 'run')}"
    )


def _clusters(compared: Compared) -> ClusterRound | None:
    """Repeat a round of adaptive sampling of one run; None if no run used that sampler."""
    found = sampling_round(compared.tasks, compared.logs)
    if found is None:
        return None
    return cluster_round(
        found.history, found.candidates, found.sampler, found.plan, found.seed, found.task
    )


def _printed(table: Table) -> list[str]:
    return [table.title, *terminal_table(table.header, table.rows, left=1)]
