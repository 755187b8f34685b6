"""Evolutionary search in the manner of MetaSchedule and Ansor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import FloatArray, Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.moves import random_moves
from chameleon_tuner.explore.pool import KEEP, Islands, Pool, unscored
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace, IntArray


@dataclass(frozen=True)
class EvolutionConfig:
    """Defaults are MetaSchedule's where it has the parameter."""

    population: int = 512  # MetaSchedule population_size
    generations: int = 4  # MetaSchedule genetic_num_iters
    measured_share: float = 0.2  # MetaSchedule init_measured_ratio: seeds from the best measured
    mutation: float = 0.85  # MetaSchedule genetic_mutate_prob; the others are copied
    crossover: float = 0.05  # Ansor's share of children with two parents; MetaSchedule has none
    local: float = 0.5  # of the mutations, single moves; the others redraw a knob. Ours
    islands: bool = False
    """Whether every sketch has a population of its own, and all of them together this size. One
    population soon leaves the sketches that a model of few records thinks little of: of 256
    trials 13 went to the one with the best kernels (the paper's vgg16-1). Ours."""
    keep: int = KEEP


class EvolutionaryExplorer:
    """A few generations of a population, parents drawn in proportion to predicted throughput."""

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
        """Nothing to learn: the best measured are in the history."""

    def _seeds(self, space: DesignSpace, history: History, rng: np.random.Generator) -> IntArray:
        size, ranked = self.config.population, history.ranked()
        share = int(size * self.config.measured_share)
        if self.config.islands:
            share //= len(space.sketches)
        measured = [ranked[mine[:share]] for mine in self._islands(ranked)]
        found = np.concatenate([ranked[:0], *measured])
        return np.concatenate([found, space.sample(size - len(found), rng)])

    def _islands(self, rows: IntArray) -> list[npt.NDArray[np.int64]]:
        """Positions of the rows that breed among themselves."""
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
    """Positions of parents, (count,), drawn in proportion to throughput, exp(score)."""
    fitness = np.exp(scores - scores.max())
    return rng.choice(len(scores), size=count, p=fitness / fitness.sum())


def cross(parents: IntArray, rng: np.random.Generator) -> IntArray:
    """Each parent (n, 1 + width) with half of its knobs from another one of its sketch."""
    partners = np.arange(len(parents))
    for sketch in np.unique(parents[:, 0]):
        mine = np.flatnonzero(parents[:, 0] == sketch)
        partners[mine] = rng.permutation(mine)
    return np.where(rng.random(parents.shape) < 0.5, parents, parents[partners])


def _where(mask: np.ndarray[tuple[int], np.dtype[np.bool_]], a: IntArray, b: IntArray) -> IntArray:
    return np.where(mask[:, None], a, b)
