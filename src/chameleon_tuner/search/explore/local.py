"""Explorers by local search: simulated annealing and coordinate descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import FloatArray, Surrogate
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.pool import ENOUGH, KEEP, Pool, unscored
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray, neighbours


@dataclass(frozen=True)
class AnnealingConfig:
    """Parameters of simulated annealing.

    The defaults are those of AutoTVM's `SimulatedAnnealingOptimizer` under `ModelBasedTuner`.
    """

    parallel: int = 128  # AutoTVM parallel_size: number of parallel chains
    iterations: int = 500  # AutoTVM n_iter
    start_temperature: float = 1.0  # AutoTVM temp=(1, 0)
    end_temperature: float = 0.0
    early_stop: int = 50  # AutoTVM early_stop: iterations without a change in the best `plan` rows
    plan: int = 64  # AutoTVM plan_size: number of best rows that early stopping watches
    persistent: bool = True  # AutoTVM persistent: chains continue where the last round ended
    keep: int = KEEP  # AutoTVM: plan_size times the factor of its diversity filter

    def temperatures(self) -> FloatArray:
        """Return linearly decreasing temperatures, shape (iterations + 1,).

        As in AutoTVM, the end temperature itself is never reached.
        """
        cooling = (self.start_temperature - self.end_temperature) / (self.iterations + 1)
        return np.asarray(self.start_temperature - cooling * np.arange(self.iterations + 1.0))


class AnnealingExplorer:
    """Explorer by parallel Metropolis chains; a step redraws one knob of every chain."""

    def __init__(self, config: AnnealingConfig | None = None) -> None:
        self.config = config or AnnealingConfig()
        self._points: IntArray | None = None

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one iteration of all chains."""
        if not model.fitted:
            return unscored(space, history, rng, self.config.keep)
        pool = Pool(space, model, history, self.config.keep)
        points = self._points
        if points is None:
            points = space.sample(self.config.parallel, rng)
        points, steps = self._anneal(space, pool, points, rng)
        self._points = points if self.config.persistent else None
        return pool.candidates(steps, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: the chains follow the model."""

    def _anneal(
        self, space: DesignSpace, pool: Pool, points: IntArray, rng: np.random.Generator
    ) -> tuple[IntArray, int]:
        config, step, last_change = self.config, 0, 0
        scores = pool.evaluate(points)
        leaders = pool.leaders(config.plan)
        for step, temperature in enumerate(config.temperatures(), start=1):
            proposed = space.mutate(points, rng)
            found = pool.evaluate(proposed)
            accepted = rng.random(len(points)) < acceptance(found - scores, temperature)
            points = np.where(accepted[:, None], proposed, points)
            scores = np.where(accepted, found, scores)
            if not np.array_equal(leaders, pool.leaders(config.plan)):
                leaders, last_change = pool.leaders(config.plan), step
            if step >= last_change + config.early_stop:
                break
        return points, step


def acceptance(gain: FloatArray, temperature: float) -> npt.NDArray[np.float64]:
    """Return the Metropolis acceptance probabilities of gains in score, both of shape (n,).

    A value above 1 means that the move is always accepted. The constant added to the temperature
    and the limit of the exponent are AutoTVM's.
    """
    return np.asarray(np.exp(np.minimum(gain / (temperature + 1e-5), 1.0)))


@dataclass(frozen=True)
class DescentConfig:
    """Parameters of coordinate descent: how far it searches around the incumbents."""

    incumbents: int = 8  # Droplet search starts from the single best; timings are too close for it
    rings: int = 4  # largest number of moves away from an incumbent
    frontier: int = 64  # best rows of a ring from which the next starts: 64 * 50 rows, 30 ms
    enough: int = ENOUGH  # number of unvisited candidates at which the search ends: a plan
    keep: int = KEEP


class DescentExplorer:
    """Explorer of the neighbourhood of the fastest measured configurations, ring by ring.

    The first ring has the neighbours of the incumbents; each further ring has the neighbours of the
    best rows of the ring before it.
    """

    def __init__(self, config: DescentConfig | None = None) -> None:
        self.config = config or DescentConfig()

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step is one ring."""
        config = self.config
        frontier = space.unique(history.ranked())[: config.incumbents]
        if not model.fitted:
            return unscored(space, history, rng, config.keep)
        pool = Pool(space, model, history, config.keep)
        steps = 0
        while len(frontier) and steps < config.rings and len(pool) < config.enough:
            ring = neighbours(space, frontier)
            steps += 1
            if len(ring):
                order = np.argsort(-pool.evaluate(ring), kind="stable")
                ring = ring[order[: config.frontier]]
            frontier = ring
        return pool.candidates(steps, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: the incumbents are in the history."""
