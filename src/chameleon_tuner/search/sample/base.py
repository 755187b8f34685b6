"""The interface of samplers, and functions that samplers share."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.pool import unvisited
from chameleon_tuner.search.history import History
from chameleon_tuner.space import IntArray
from chameleon_tuner.space.space import first_of_each


class Sampler(Protocol):
    """Interface of the choice of candidates to measure.

    A sampler is a pure function of its arguments; the generator is its only source of randomness.
    """

    def select(
        self, candidates: Candidates, history: History, plan: int, rng: np.random.Generator
    ) -> IntArray:
        """Select at most `plan` candidates to measure.

        Args:
            candidates: The n candidates that the explorer visited; there may be none.
            history: The outcomes of the task so far; it holds the design space.
            plan: The largest number of candidates to select.
            rng: The source of randomness.

        Returns:
            Distinct, unvisited rows, shape (m, 1 + width) with m <= plan.
        """
        ...


def fresh(candidates: Candidates, history: History) -> Candidates:
    """Return the candidates that can be measured: canonical, unvisited and distinct, in order.

    Explorers already promise this. A measurement costs far more than this check, so samplers do not
    rely on the promise.
    """
    rows = history.space.canonical(candidates.rows)
    kept = np.flatnonzero(first_of_each(history.space.keys(rows)) & ~history.visited(rows))
    taken = candidates.take(kept)
    return Candidates(rows[kept], taken.scores, taken.uncertainty, taken.steps)


def by_score(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the positions from the best score to the worst, shape (n,); ties keep their order."""
    return np.argsort(-scores, kind="stable")


def random_share(count: int, share: float, rng: np.random.Generator) -> int:
    """Return how many of `count` candidates are to be random.

    The number is rounded up or down at random, so that a small share of a small batch is not always
    zero.

    Args:
        count: The number of candidates.
        share: The share of random candidates, on average.
        rng: The source of randomness.

    Returns:
        The number of random candidates.
    """
    exact = share * count
    return int(exact) + int(rng.random() < exact - int(exact))


def completed(chosen: IntArray, history: History, count: int, rng: np.random.Generator) -> IntArray:
    """Fill up the chosen rows with random unvisited rows.

    Args:
        chosen: The chosen rows, shape (m, 1 + width).
        history: The outcomes of the task so far.
        count: The number of rows to reach.
        rng: The source of randomness.

    Returns:
        The chosen rows and the added ones, `count` in total if the space has enough unvisited rows.
    """
    missing = count - len(chosen)
    if missing <= 0:
        return chosen
    drawn = unvisited(history.space, history, count, rng)
    new = drawn[~np.isin(history.space.keys(drawn), history.space.keys(chosen))]
    return np.concatenate([chosen, new[:missing]])
