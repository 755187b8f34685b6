"""Evolutionary search in the manner of MetaSchedule and Ansor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chameleon_tuner.cost.base import FloatArray, Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.moves import random_moves
from chameleon_tuner.explore.pool import KEEP, Pool, unscored
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
    keep: int = KEEP


class EvolutionaryExplorer:
    """A few generations of a population, parents drawn in proportion to predicted throughput."""

    def __init__(self, config: EvolutionConfig | None = None) -> None:
        self.config = config or EvolutionConfig()

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one generation."""
        config = self.config
        if not model.fitted:
            return unscored(space, history, rng, config.keep)
        pool = Pool(space, model, history, config.keep)
        population = self._seeds(space, history, rng)
        scores = pool.evaluate(population)
        for _ in range(config.generations):
            population = self._offspring(space, population, scores, rng)
            scores = pool.evaluate(population)
        return pool.candidates(config.generations, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing to learn: the best measured are in the history."""

    def _seeds(self, space: DesignSpace, history: History, rng: np.random.Generator) -> IntArray:
        measured = history.ranked()[: int(self.config.population * self.config.measured_share)]
        drawn = space.sample(self.config.population - len(measured), rng)
        return np.concatenate([measured, drawn])

    def _offspring(
        self, space: DesignSpace, rows: IntArray, scores: FloatArray, rng: np.random.Generator
    ) -> IntArray:
        config = self.config
        parents = rows[select(scores, config.population, rng)]
        kinds = rng.random((3, len(parents)))
        children = _where(kinds[0] < config.crossover, cross(parents, rng), parents)
        moved, redrawn = random_moves(space, children, rng), space.mutate(children, rng)
        mutants = _where(kinds[1] < config.local, moved, redrawn)
        return space.canonical(_where(kinds[2] < config.mutation, mutants, children))


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
