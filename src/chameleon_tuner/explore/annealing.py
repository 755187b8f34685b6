"""Simulated annealing as in AutoTVM: the explorer that Chameleon's is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import FloatArray, Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.pool import KEEP, Pool, unscored
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace, IntArray


@dataclass(frozen=True)
class AnnealingConfig:
    """Defaults are those of AutoTVM's `SimulatedAnnealingOptimizer` under `ModelBasedTuner`."""

    parallel: int = 128  # AutoTVM parallel_size: chains that walk side by side
    iterations: int = 500  # AutoTVM n_iter
    start_temperature: float = 1.0  # AutoTVM temp=(1, 0)
    end_temperature: float = 0.0
    early_stop: int = 50  # AutoTVM early_stop: iterations without a change in the best `plan`
    plan: int = 64  # AutoTVM plan_size: how many of the best decide whether it goes on
    persistent: bool = True  # AutoTVM persistent: chains go on where the last round left them
    keep: int = KEEP  # AutoTVM: plan_size times the factor of its diversity filter

    def temperatures(self) -> FloatArray:
        """Linear, (iterations + 1,): as AutoTVM cools, the end itself is never used."""
        cooling = (self.start_temperature - self.end_temperature) / (self.iterations + 1)
        return np.asarray(self.start_temperature - cooling * np.arange(self.iterations + 1.0))


class AnnealingExplorer:
    """Parallel Metropolis chains over the model; a step redraws one knob of every chain."""

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
        """Nothing to learn: the chains follow the model."""

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
    """Metropolis' probability of a gain in score, (n,) both; above 1 means always.

    The shift of the temperature and the limit of the exponent are AutoTVM's.
    """
    return np.asarray(np.exp(np.minimum(gain / (temperature + 1e-5), 1.0)))
