"""Evolutionary explorers: a plain one, and MAP-Elites over micro-kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import FloatArray, Surrogate
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.pool import ENOUGH, KEEP, Islands, Pool, unscored
from chameleon_tuner.search.history import History
from chameleon_tuner.search.niches import niches
from chameleon_tuner.space import DesignSpace, IntArray
from chameleon_tuner.space.space import first_of_each, random_moves


@dataclass(frozen=True)
class EvolutionConfig:
    """Parameters of the evolutionary search; defaults are MetaSchedule's where it has them."""

    population: int = 512  # MetaSchedule population_size
    generations: int = 4  # MetaSchedule genetic_num_iters
    measured_share: float = 0.2  # MetaSchedule init_measured_ratio: share of the best measured
    mutation: float = 0.85  # MetaSchedule genetic_mutate_prob; other children are not mutated
    crossover: float = 0.05  # Ansor's share of children with two parents; MetaSchedule has none
    local: float = 0.5  # our addition: share of mutations that are moves; others redraw a knob
    islands: bool = False
    """Whether every sketch has its own population; `population` is then the size of all together. A
    single population soon abandons the sketches that a model of few records underrates: only 13 of
    256 trials went to the sketch with the best kernels (the paper's vgg16-1). Our addition."""
    keep: int = KEEP


class EvolutionaryExplorer:
    """Evolutionary explorer, which draws parents in proportion to predicted throughput."""

    def __init__(self, config: EvolutionConfig | None = None) -> None:
        self.config = config or EvolutionConfig()

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one generation."""
        if not model.fitted:
            return unscored(space, history, rng, self.config.keep)
        kind = Islands if self.config.islands and len(space.sketches) > 1 else Pool
        pool = kind(space, model, history, self.config.keep)
        population = self._seeds(space, history, rng)
        scores = pool.evaluate(population)
        for _ in range(self.config.generations):
            population = self._offspring(space, population, scores, rng)
            scores = pool.evaluate(population)
        return pool.candidates(self.config.generations, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: the best measured configurations are in the history."""

    def _seeds(self, space: DesignSpace, history: History, rng: np.random.Generator) -> IntArray:
        size, ranked = self.config.population, history.ranked()
        share = int(size * self.config.measured_share)
        if self.config.islands:
            share //= len(space.sketches)
        measured = [ranked[mine[:share]] for mine in self._islands(ranked)]
        found = np.concatenate([ranked[:0], *measured])
        return np.concatenate([found, space.sample(size - len(found), rng)])

    def _islands(self, rows: IntArray) -> list[npt.NDArray[np.int64]]:
        """Return the positions of the rows of each island; parents mix only within an island."""
        if not self.config.islands:
            return [np.arange(len(rows))]
        return [np.flatnonzero(rows[:, 0] == sketch) for sketch in np.unique(rows[:, 0])]

    def _offspring(
        self, space: DesignSpace, rows: IntArray, scores: FloatArray, rng: np.random.Generator
    ) -> IntArray:
        config = self.config
        islands = self._islands(rows)
        chosen = [mine[select(scores[mine], len(mine), rng)] for mine in islands]
        parents = rows[np.concatenate(chosen)]
        kinds = rng.random((3, len(parents)))
        children = _where(kinds[0] < config.crossover, cross(parents, rng), parents)
        moved, redrawn = random_moves(space, children, rng), space.mutate(children, rng)
        mutants = _where(kinds[1] < config.local, moved, redrawn)
        grown = space.canonical(_where(kinds[2] < config.mutation, mutants, children))
        if not config.islands:
            return grown
        return _where(grown[:, 0] == parents[:, 0], grown, parents)  # a move may change the sketch


def select(
    scores: FloatArray, count: int, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Draw parents in proportion to predicted throughput, which is exp(score).

    Args:
        scores: The predicted scores of the population, shape (n,).
        count: The number of parents to draw, with replacement.
        rng: The source of randomness.

    Returns:
        The positions of the parents, shape (count,).
    """
    fitness = np.exp(scores - scores.max())
    return rng.choice(len(scores), size=count, p=fitness / fitness.sum())


def cross(parents: IntArray, rng: np.random.Generator) -> IntArray:
    """Cross each parent with a random parent of its sketch, which gives half of the knobs.

    The parents and the result have shape (n, 1 + width).
    """
    partners = np.arange(len(parents))
    for sketch in np.unique(parents[:, 0]):
        mine = np.flatnonzero(parents[:, 0] == sketch)
        partners[mine] = rng.permutation(mine)
    return np.where(rng.random(parents.shape) < 0.5, parents, parents[partners])


def _where(mask: np.ndarray[tuple[int], np.dtype[np.bool_]], a: IntArray, b: IntArray) -> IntArray:
    return np.where(mask[:, None], a, b)


@dataclass(frozen=True)
class ElitesConfig:
    """Parameters of `ElitesExplorer`: the numbers of rows per round."""

    drawn: int = 512  # random rows; the paper's layers have 196 to 19,600 micro-kernels
    mutants: int = 256  # mutants of the rows that were kept
    keep: int = 256  # micro-kernels to keep, the best by the model


class ElitesExplorer:
    """MAP-Elites explorer (Mouret and Clune 2015); the niches are micro-kernels, see `niches`.

    It proposes and keeps the best configuration of each of the most promising niches. The next
    round evaluates these, mutants of them, and new random rows. An instance serves one task.
    """

    def __init__(self, config: ElitesConfig | None = None) -> None:
        self.config = config or ElitesConfig()
        self._elites: IntArray | None = None

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one round of mutants."""
        config = self.config
        if not model.fitted:
            return unscored(space, history, rng)
        rows = space.unique(self._grown(space, rng))
        rows = rows[~history.visited(rows)]
        if not len(rows):
            return Candidates(rows, np.zeros(0), np.zeros(0), 1)
        mean, std = model.predict(rows)
        ranked = np.argsort(-mean, kind="stable")
        first = first_of_each(niches(history, rows[ranked]))
        leading = ranked[first][: config.keep]
        # If there are few micro-kernels, further configurations of these are added.
        best = np.concatenate([leading, ranked[~first][: max(0, ENOUGH - len(leading))]])
        self._elites = rows[best]
        return Candidates(rows[best], mean[best], std[best], 1)

    def _grown(self, space: DesignSpace, rng: np.random.Generator) -> IntArray:
        """Return the elites, mutants of them, and random rows."""
        drawn = space.sample(self.config.drawn, rng)
        elites = self._elites
        if elites is None:
            return drawn
        parents = elites[rng.integers(len(elites), size=self.config.mutants)]
        return np.concatenate([elites, random_moves(space, parents, rng), drawn])

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: what was measured is in the history."""
