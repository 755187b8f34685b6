"""The paper's tables in their own form, from our curves, with the published numbers beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare import published
from chameleon_tuner.compare.bootstrap import FloatArray
from chameleon_tuner.compare.claims import Claim, claims
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.published import ANNEALING_GREEDY, CELLS, NETWORKS, Published
from chameleon_tuner.compare.reach import MEASUREMENTS, SECONDS, Clock, effort
from chameleon_tuner.compare.runs import Runs, base_name, steps_to_converge

_SECS_PER_HOUR = 3600
_US_PER_MS = 1000


@dataclass(frozen=True)
class Cell:
    """One recipe of the 2x2 on one network: sums over its tasks of means over seeds.

    Attributes:
        hours: of tuning. At equal trials it says little about the search: hence the next one.
        hours_to_reach: until the latency that annealing+greedy ended with, task by task; a run
            that never got there counts as its whole budget, see `effort`.
        inference_ms: geomean over seeds of the final latency of every task, times its calls;
            of the convolutions alone, and infinite where a run found nothing.
        steps: of exploration up to convergence; nan where the tuner does not say.
        measurements_to_reach: as `hours_to_reach`.
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
        network: as the names of its tasks begin.
        tasks: of the network in this comparison.
        tasks_published: of the network in the paper; sums over fewer are not of the same thing.
        cells: by `CELLS`; None where a task of the network has no run yet.
        published: by `CELLS`.
    """

    network: str
    tasks: int
    tasks_published: int
    cells: Mapping[str, Cell | None]
    published: Mapping[str, Published]


@dataclass(frozen=True)
class PaperTables:
    """The paper's evaluation, again.

    Attributes:
        labels: which recipe stands in each cell of the 2x2; None where none does.
        rows: of the paper's networks that take part.
        claims: what the paper concludes, and what we find.
    """

    labels: Mapping[str, str | None]
    rows: Sequence[NetworkRow]
    claims: Sequence[Claim]

    def disagreements(self) -> list[str]:
        """A sentence for every claim that our figures do not bear out."""
        return [claim.sentence for claim in self.claims if claim.sentence]


def paper_tables(curves: Sequence[Curve], weights: Mapping[str, float]) -> PaperTables:
    """Regenerate the paper's tables from the curves of the 2x2 on its networks.

    Args:
        curves: of any recipes and tasks; those of other networks are ignored.
        weights: calls in the network of every task of the comparison, with or without a run so
            far; tasks are called `vgg16-4`. A task that is not among them counts once.

    Raises:
        UsageError: there are two curves of the same run.
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
    """Sum over tasks of the mean over what seeds there are; nan where a task has none."""
    means = []
    for task in tasks:
        row = table[runs.tasks.index(task)]
        known = row[~np.isnan(row)]
        means.append(float(known.mean()) if known.size else math.nan)
    return math.fsum(means)


def _label(recipes: Sequence[str], cell: str) -> str | None:
    """The recipe of a cell; `ppo-paper` stands in for `ppo` where that is not there."""
    for wanted in (cell, cell.replace("ppo+", "ppo-paper+")):
        for recipe in recipes:
            if base_name(recipe) == wanted:
                return recipe
    return None


def _network(task: str) -> str:
    return task.rpartition("-")[0]
