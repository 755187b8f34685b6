"""Text tables of the figures of merit, and the tables of the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chameleon_tuner.bench.figures.merit import Merit
from chameleon_tuner.bench.figures.runs import Estimate
from chameleon_tuner.bench.figures.score import RecipeScore, TaskScore
from chameleon_tuner.bench.paper.published import CELLS, Published
from chameleon_tuner.bench.paper.tables import Cell, NetworkRow, PaperTables
from chameleon_tuner.report.numbers import MISSING, significant

_INTERVAL = "Brackets: 95% bootstrap intervals over seeds; none with a single seed."


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: Title above the table.
        header: Names of the columns.
        rows: Cells as they are printed; the first cell of a row names the row.
        note: Paragraph below the table; empty for none.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def merit_tables(merit: Merit) -> list[Table]:
    """Return tables of every recipe's quality, speed, cost and latencies against the reference."""
    return [_quality(merit), _speed(merit), _cost(merit), _latencies(merit)]


def _quality(merit: Merit) -> Table:
    rows = [
        (name, _estimate(r.at_equal_trials), _estimate(r.at_equal_secs), str(r.unfinished))
        for name, r in merit.recipes.items()
    ]
    return Table(
        f"Final latency over that of {merit.reference}",
        ("recipe", "at equal trials", "at equal wall-clock", "runs without a kernel"),
        rows,
        "Below 1 is faster. Geomean over tasks and seeds, by the neutral timer. Equal wall-clock: "
        "per task, the seconds of whoever of the two ended first. "
        f"{MISSING}: {merit.reference} had nothing by then. {_INTERVAL}",
    )


def _speed(merit: Merit) -> Table:
    rows = [
        (
            name,
            f"{r.reach.reached} of {r.reach.runs}",
            _estimate(r.reach.seconds.strict),
            _estimate(r.reach.seconds.whole),
            _estimate(r.reach.searching.strict),
            _estimate(r.reach.measurements.strict),
        )
        for name, r in merit.recipes.items()
    ]
    return Table(
        f"How much sooner the final latency of {merit.reference} is reached",
        (
            "recipe",
            "runs that reach it",
            "time, strict",
            "time, whole budget",
            "time without start-up, strict",
            "measurements, strict",
        ),
        rows,
        f"Above 1 is sooner. Within 1% of what {merit.reference} ended with, geomean over its "
        f"seeds. Strict: against the moment {merit.reference} itself first got there; whole "
        "budget: against all that it spent. A run that never got there counts as all it spent, or "
        f"as all that the reference spent, whichever is more. {_INTERVAL}",
    )


def _cost(merit: Merit) -> Table:
    rows = []
    for name, r in merit.recipes.items():
        spent = r.spent
        failed = ", ".join(f"{kind} {f.count}" for kind, f in r.failures.items()) or "none"
        activities = ("explore", "fit", "build", "run")
        rows.append(
            (
                name,
                significant(r.startup_secs),
                significant(r.total_secs),
                *(significant(spent.get(activity, math.nan)) for activity in activities),
                significant(r.exploration.to_converge.value),
                failed,
            )
        )
    return Table(
        "What a run costs",
        (
            "recipe",
            "start-up s",
            "total s",
            "explore s",
            "fit s",
            "build s",
            "run s",
            "steps to convergence",
            "trials that were not ok",
        ),
        rows,
        "Means over runs. Steps of exploration up to the first incumbent within 1% of the run's "
        f"own final, a geomean. {MISSING}: the tuner does not say.",
    )


def _latencies(merit: Merit) -> Table:
    rows = [
        (task, *(significant(r.final_us.get(task, math.nan)) for r in merit.recipes.values()))
        for task in merit.tasks
    ]
    return Table(
        "Final latency of every task, in microseconds",
        ("task", *merit.recipes),
        rows,
        "Geomean over seeds, by the neutral timer.",
    )


def score_table(scores: Mapping[str, RecipeScore]) -> list[Table]:
    """Return the table of the scores on completely recorded tasks; none without such tasks."""
    if not scores:
        return []
    tasks = {name: task for score in scores.values() for name, task in score.tasks.items()}
    rows = [
        (
            recipe,
            _estimate(score.score),
            f"{score.within:.0%}",
            f"{score.failed:.1%}",
            *(_task_score(score.tasks.get(name)) for name in tasks),
        )
        for recipe, score in scores.items()
    ]
    budgets = ", ".join(f"{name} {task.budget} of {task.cutoff}" for name, task in tasks.items())
    return [
        Table(
            "Score where every configuration is recorded",
            ("recipe", "score", "runs within 1% of the optimum", "failed", *tasks),
            rows,
            "The community's score P: 0 is random search, 1 finds the optimum at once. Mean over "
            "tasks; of each task the score, and the median evaluations to within 1% of the "
            "optimum. Refused and failed candidates count as evaluations. Evaluations that are "
            f"scored, of those to the 95% cutoff: {budgets}. {_INTERVAL}",
        )
    ]


def _task_score(task: TaskScore | None) -> str:
    if task is None:
        return MISSING
    reached = f"{task.to_optimum:.0f}" if math.isfinite(task.to_optimum) else "never"
    return f"{task.score:.2f}, {reached}"


def paper_section(paper: PaperTables) -> list[Table]:
    """Return the paper's tables in their own form; none without a recipe of the 2x2 experiment."""
    if not any(cell for row in paper.rows for cell in row.cells.values()):
        return []
    return [_times(paper.rows), _claims(paper)]


def _times(rows: Sequence[NetworkRow]) -> Table:
    lines = []
    for row in rows:
        complete = "" if row.tasks == row.tasks_published else f" ({row.tasks} tasks)"
        for name in CELLS:
            lines.append((f"{row.network}{complete}", name, *_cell(row.cells[name])))
            lines.append(("", "the paper, whole network", *_published(row.published[name])))
    return Table(
        "The paper's tables again",
        (
            "network",
            "recipe",
            "hours of tuning",
            "hours to annealing+greedy's final",
            "inference ms",
            "steps",
            "measurements to annealing+greedy's final",
        ),
        lines,
        "Sums over the tasks of this comparison, inference weighted by their calls; convolutions "
        "alone. The paper's are of a Titan Xp and about 1,000 measurements a task: only their "
        "ratios can be compared.",
    )


def _cell(cell: Cell | None) -> tuple[str, ...]:
    if cell is None:
        return (MISSING,) * 5
    figures = (
        cell.hours,
        cell.hours_to_reach,
        cell.inference_ms,
        cell.steps,
        cell.measurements_to_reach,
    )
    return tuple(significant(figure) for figure in figures)


def _published(published: Published) -> tuple[str, ...]:
    ms = f"{published.inference_ms:.4f}"
    return (significant(published.hours), MISSING, ms, MISSING, MISSING)


def _claims(paper: PaperTables) -> Table:
    rows = [
        (f"{claim.what}{f' ({claim.basis})' if claim.basis else ''}", _maybe(claim.ours))
        for claim in paper.claims
    ]
    disagreements = " ".join(paper.disagreements())
    return Table(
        "What the paper concludes, and what we find",
        ("the paper", "here"),
        rows,
        f"Where ours disagrees: {disagreements}" if disagreements else "Ours agrees throughout.",
    )


def _maybe(estimate: Estimate | None) -> str:
    return _estimate(estimate) if estimate else MISSING


def _estimate(estimate: Estimate) -> str:
    if not estimate.pairs or math.isnan(estimate.value):
        return MISSING
    if math.isinf(estimate.value):
        return "infinite"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({_bound(estimate.low)} to {_bound(estimate.high)})"


def _bound(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "infinite"
