"""What a comparison ends with: its report, and a few lines on the terminal."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.compare.comparison import Compared
from chameleon_tuner.compare.merit import Merit
from chameleon_tuner.compare.paper import paper_tables
from chameleon_tuner.compare.rounds import sampling_round
from chameleon_tuner.report.compare.clusters import ClusterRound, cluster_round
from chameleon_tuner.report.compare.page import write_report
from chameleon_tuner.report.compare.tables import merit_tables, paper_section
from chameleon_tuner.report.compare.view import ComparisonView, Table
from chameleon_tuner.report.numbers import plural
from chameleon_tuner.report.sections import terminal_table


def finish(compared: Compared) -> list[str]:
    """Write the report and its figures; the closing lines."""
    tables = merit_tables(compared.merit)
    write_report(compared.folder, view_of(compared, tables))
    shown = [line for table in tables[:2] for line in (*_printed(table), "")]
    path = compared.folder
    return [*shown, summary(compared.merit), f"{path}/report.html has the figures"]


def view_of(compared: Compared, tables: list[Table]) -> ComparisonView:
    """The comparison as its report shows it."""
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
    """The result in a sentence a recipe."""
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
    """A round of adaptive sampling on what a run had measured; None where none used it."""
    found = sampling_round(compared.tasks, compared.logs)
    if found is None:
        return None
    return cluster_round(
        found.history, found.candidates, found.sampler, found.plan, found.seed, found.task
    )


def _printed(table: Table) -> list[str]:
    return [table.title, *terminal_table(table.header, table.rows, left=1)]
