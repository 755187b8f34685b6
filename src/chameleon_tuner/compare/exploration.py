"""How many steps of exploration a recipe takes: the paper's figure for adaptive exploration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.compare.bootstrap import Estimate, FloatArray, geomean, ratio
from chameleon_tuner.compare.runs import Runs, base_name, steps_to_converge


@dataclass(frozen=True)
class Exploration:
    """How much a recipe explored.

    Attributes:
        to_converge: steps up to the first incumbent within 1% of the run's own final. Runs that
            never improved on what they had before their first step have not converged by
            exploring: they do not count, nor do tuners that do not say.
        per_trial: steps per candidate measured, over all runs; nan where the tuner does not say.
        fewer: how many times fewer steps to convergence than annealing with the same sampler
            needs; None where there is no such pair.
    """

    to_converge: Estimate
    per_trial: float
    fewer: Estimate | None


def exploration(runs: Runs, recipe: str) -> Exploration:
    """Steps of a recipe, against annealing with the same sampler where both are there."""
    steps = _steps(runs, recipe)
    curves = [curve for curve in runs.select(recipe) if curve.total_steps]
    trials = sum(curve.trials for curve in curves)
    total = sum(curve.total_steps for curve in curves)
    annealing = _annealing(runs.recipes, recipe)
    return Exploration(
        geomean(np.log(steps)),
        total / trials if trials else math.nan,
        ratio(_steps(runs, annealing), steps) if annealing else None,
    )


def _steps(runs: Runs, recipe: str) -> FloatArray:
    table = runs.table(recipe, steps_to_converge)
    return np.where(table > 0, table, np.nan)


def _annealing(recipes: Sequence[str], recipe: str) -> str | None:
    _, paired, sampler = base_name(recipe).partition("+")
    wanted = f"annealing+{sampler}"
    return next((one for one in recipes if paired and base_name(one) == wanted), None)
