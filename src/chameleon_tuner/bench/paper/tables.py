"""The tables of the paper, recomputed from our curves, with the published numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.figures.reach import MEASUREMENTS, SECONDS, Clock, effort
from chameleon_tuner.bench.figures.runs import FloatArray, Runs, base_name, steps_to_converge
from chameleon_tuner.bench.paper import published
from chameleon_tuner.bench.paper.claims import Claim, claims
from chameleon_tuner.bench.paper.published import ANNEALING_GREEDY, CELLS, NETWORKS, Published

_SECS_PER_HOUR = 3600
_US_PER_MS = 1000


@dataclass(frozen=True)
class Cell:
    """One recipe of the 2x2 on one network: sums over its tasks of means over seeds.

    Attributes:
        hours: Tuning time in hours. If all runs have equal trials, it says little about the search;
            `hours_to_reach` says more.
        hours_to_reach: Hours until the final latency of annealing+greedy is reached, task by task;
            a run that never reaches it counts with its whole budget, see `effort`.
        inference_ms: Milliseconds of all convolutions in one inference: the final latency of each
            task (geomean over seeds) times its calls. Infinite if a run found nothing.
        steps: Exploration steps up to convergence; nan if the tuner does not report steps.
        measurements_to_reach: Trials until the final latency of annealing+greedy is reached.
    """

    hours: float
    hours_to_reach: float
    inference_ms: float
    steps: float
    measurements_to_reach: float


@dataclass(frozen=True)
class NetworkRow:
    """A row of the paper's tables.

    Attributes:
        network: Name of the network, with which the names of its tasks begin.
        tasks: Number of the network's tasks in this comparison.
        tasks_published: Number of its tasks in the paper. If there are fewer tasks here, the sums
            are not comparable.
        cells: Our results by `CELLS`; None if a task of the network has no run yet.
        published: The paper's results by `CELLS`.
    """

    network: str
    tasks: int
    tasks_published: int
    cells: Mapping[str, Cell | None]
    published: Mapping[str, Published]


@dataclass(frozen=True)
class PaperTables:
    """The paper's evaluation, repeated with our runs.

    Attributes:
        labels: Label of the recipe in each cell of the 2x2; None without a recipe.
        rows: Rows of the paper's networks that take part.
        claims: Claims of the paper with our results.
    """

    labels: Mapping[str, str | None]
    rows: Sequence[NetworkRow]
    claims: Sequence[Claim]

    def disagreements(self) -> list[str]:
        """Return one sentence for every claim that our results do not confirm."""
        return [claim.sentence for claim in self.claims if claim.sentence]


def paper_tables(curves: Sequence[Curve], weights: Mapping[str, float]) -> PaperTables:
    """Regenerate the paper's tables from the curves of the 2x2 on its networks.

    Args:
        curves: Curves of any recipes and tasks; those of other networks are ignored.
        weights: Number of calls of every task in its network, by names such as `vgg16-4`, whether
            the task has runs or not. A task without weight counts once.

    Raises:
        UsageError: There are two curves of the same run.
    """
    ours = [curve for curve in curves if _network(curve.task) in NETWORKS]
    runs = Runs.of(ours)
    labels = {cell: _label(runs.recipes, cell) for cell in CELLS}
    tasks = sorted({curve.task for curve in ours} | set(weights))
    rows = []
    for network in NETWORKS:
        weighted = {task: weights.get(task, 1.0) for task in tasks if _network(task) == network}
        if weighted:
            rows.append(_row(network, runs, labels, weighted))
    return PaperTables(labels, rows, claims(runs, labels))


def _row(
    network: str, runs: Runs, labels: Mapping[str, str | None], weights: Mapping[str, float]
) -> NetworkRow:
    """Build the row of one network from the weights of its tasks."""
    return NetworkRow(
        network,
        len(weights),
        published.TASKS[network],
        {cell: _cell(runs, labels[cell], labels[ANNEALING_GREEDY], weights) for cell in CELLS},
        NETWORKS[network],
    )


def _cell(
    runs: Runs, recipe: str | None, reference: str | None, weights: Mapping[str, float]
) -> Cell | None:
    """Compute a cell, or return None if there is no recipe or a task has no run of it."""
    if recipe is None or not all(runs.select(recipe, task) for task in weights):
        return None

    def summed(figure: Callable[[Curve], float]) -> float:
        return _summed(runs, runs.table(recipe, figure), weights)

    def reached(clock: Clock) -> float:
        if reference is None:
            return math.nan
        return _summed(runs, effort(runs, recipe, reference, clock), weights)

    finals = runs.finals(recipe)
    return Cell(
        hours=summed(lambda curve: curve.total_secs) / _SECS_PER_HOUR,
        hours_to_reach=reached(SECONDS) / _SECS_PER_HOUR,
        inference_ms=sum(weights[task] * finals[task] for task in weights) / _US_PER_MS,
        steps=summed(steps_to_converge),
        measurements_to_reach=reached(MEASUREMENTS),
    )


def _summed(runs: Runs, table: FloatArray, tasks: Mapping[str, float]) -> float:
    """Sum up, over tasks, the mean over the seeds that are not nan; nan if a task has none."""
    means = []
    for task in tasks:
        row = table[runs.tasks.index(task)]
        known = row[~np.isnan(row)]
        means.append(float(known.mean()) if known.size else math.nan)
    return math.fsum(means)


def _label(recipes: Sequence[str], cell: str) -> str | None:
    """Return the recipe of a cell; `ppo-paper` is used if `ppo` does not take part."""
    for wanted in (cell, cell.replace("ppo+", "ppo-paper+")):
        for recipe in recipes:
            if base_name(recipe) == wanted:
                return recipe
    return None


def _network(task: str) -> str:
    """Return the network of a task: `vgg16` for `vgg16-4`."""
    return task.rpartition("-")[0]
