"""What samplers share: which candidates are fresh, and random rows to go with the chosen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.pool import unvisited
from chameleon_tuner.history import History
from chameleon_tuner.space import IntArray
from chameleon_tuner.space.distinct import first_of_each


def fresh(candidates: Candidates, history: History) -> Candidates:
    """The candidates that can be measured: canonical, unvisited and without repeats, in order.

    Explorers promise as much; a measurement costs so much more than this check that samplers
    do not rely on it.
    """
    rows = history.space.canonical(candidates.rows)
    kept = np.flatnonzero(first_of_each(history.space.keys(rows)) & ~history.visited(rows))
    taken = candidates.take(kept)
    return Candidates(rows[kept], taken.scores, taken.uncertainty, taken.steps)


def by_score(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Positions from the best score to the worst; ties in order: (n,)."""
    return np.argsort(-scores, kind="stable")


def random_share(count: int, share: float, rng: np.random.Generator) -> int:
    """How many of `count` are to be random: `share` of them on average.

    Rounded up or down by chance, so that a small share of a small batch is not always nothing.
    """
    exact = share * count
    return int(exact) + int(rng.random() < exact - int(exact))


def completed(chosen: IntArray, history: History, count: int, rng: np.random.Generator) -> IntArray:
    """The chosen rows and random unvisited ones, `count` in all where the space has as many."""
    missing = count - len(chosen)
    if missing <= 0:
        return chosen
    drawn = unvisited(history.space, history, count, rng)
    new = drawn[~np.isin(history.space.keys(drawn), history.space.keys(chosen))]
    return np.concatenate([chosen, new[:missing]])
