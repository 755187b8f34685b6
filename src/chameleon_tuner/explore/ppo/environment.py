"""What the agent lives in: configurations that walk side by side, scored by the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import FloatArray
from chameleon_tuner.explore.pool import ENOUGH, Pool
from chameleon_tuner.explore.ppo.config import PPOConfig
from chameleon_tuner.history import History
from chameleon_tuner.space import DesignSpace, IntArray

_REFERENCE_SAMPLES = 1024
"""Random rows that the encoding is standardised by: deviations to 2%."""

_SMALL = 1e-3
"""Added to deviations: constant features stay near 0."""


class Environment:
    """A batch of episodes in step; every configuration reached goes through the pool.

    Attributes:
        rows: where the episodes are, (n, 1 + width).
        active: which of them still run, (n,).
    """

    def __init__(self, space: DesignSpace, pool: Pool, config: PPOConfig, starts: IntArray) -> None:
        self._space, self._pool, self._config = space, pool, config
        self.rows = starts
        self.active = np.ones(len(starts), dtype=bool)
        self._scores = pool.evaluate(starts)

    def step(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Move the active episodes by actions (n, dims); their rewards (n,), 0 for the others."""
        config, mine = self._config, np.flatnonzero(self.active)
        before = self.rows[mine]
        moved = move(self._space, config, before, actions[mine])
        scores = self._pool.evaluate(moved)
        gained = scores - self._scores[mine] if config.reward == "gain" else scores
        rewards = np.zeros(len(self.rows), dtype=np.float32)
        rewards[mine] = np.clip(gained, -config.reward_limit, config.reward_limit)
        self.rows, self._scores = self.rows.copy(), self._scores.copy()
        self.rows[mine], self._scores[mine] = moved, scores
        if config.settled is not None:
            self.active[mine] = settled(self._space, before, moved) < config.settled
        return rewards


def action_dims(space: DesignSpace, config: PPOConfig) -> int:
    """How many actions of {down, stay, up} one move takes."""
    return space.width if config.moves == "knob" else space.move_dims


def move(
    space: DesignSpace, config: PPOConfig, rows: IntArray, actions: npt.NDArray[np.int64]
) -> IntArray:
    """Rows (n, 1 + width) after actions (n, dims)."""
    return (space.step if config.moves == "knob" else space.move)(rows, actions)


def settled(space: DesignSpace, before: IntArray, after: IntArray) -> FloatArray:
    """Share of each row's knobs that stayed or are at the first or last of their values, (n,)."""
    sizes = space.sizes[after[:, 0]]
    stayed = before[:, 1:] == after[:, 1:]
    bound = (after[:, 1:] == 0) | (after[:, 1:] == sizes - 1)
    real = sizes > 0
    return np.asarray((real & (stayed | bound)).sum(axis=1) / real.sum(axis=1))


def starts(
    space: DesignSpace, config: PPOConfig, pool: Pool, history: History, rng: np.random.Generator
) -> IntArray:
    """Where episodes begin: among the best measured, among the best found, and anywhere."""
    shares = ((history.ranked(), config.measured_share), (pool.rows, config.elite_share))
    chosen = [
        best[rng.integers(min(len(best), ENOUGH), size=int(config.environments * share))]
        for best, share in shares
        if len(best)
    ]
    drawn = space.sample(config.environments - sum(map(len, chosen)), rng)
    return np.concatenate([*chosen, drawn])


class Observer:
    """Turns rows into what the agent sees."""

    def __init__(self, space: DesignSpace, config: PPOConfig, rng: np.random.Generator) -> None:
        self._space, self._config = space, config
        raw = self._raw(space.sample(_REFERENCE_SAMPLES, rng))
        self.size = raw.shape[1]
        self._mean, self._deviation = np.zeros(self.size), np.ones(self.size)
        if config.observation == "encoding":
            self._mean, self._deviation = raw.mean(axis=0), raw.std(axis=0) + _SMALL

    def __call__(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Observations (n, inputs) of rows (n, 1 + width)."""
        return ((self._raw(rows) - self._mean) / self._deviation).astype(np.float32)

    def _raw(self, rows: IntArray) -> npt.NDArray[np.floating]:
        if self._config.observation == "encoding":
            return self._space.encode(rows)
        sketches = rows[:, :1] == np.arange(len(self._space.sketches))
        last = np.maximum(self._space.sizes[rows[:, 0]] - 1, 1)
        return np.concatenate([sketches, 2.0 * rows[:, 1:] / last - 1.0], axis=1)
