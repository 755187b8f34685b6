"""The PPO explorer: an agent runs episodes on the cost model and is kept as long as its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chameleon_tuner.core.outcome import Outcome
from chameleon_tuner.search.cost.base import FloatArray, Surrogate
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.explore.pool import ENOUGH, Pool, unscored
from chameleon_tuner.search.explore.ppo.config import TUNED, PPOConfig
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray

if TYPE_CHECKING:
    from chameleon_tuner.search.explore.ppo.agent import Actions, Agent, Trajectory


_REFERENCE_SAMPLES = 1024
"""The number of random rows for standardising the encoding; deviations are accurate to 2%."""

_SMALL = 1e-3
"""A constant added to the deviations, so that constant features stay near 0."""


class Environment:
    """A batch of episodes in lockstep; every configuration reached goes through the pool.

    Attributes:
        rows: The current configuration of each episode, shape (n, 1 + width).
        active: Whether each episode is still running, shape (n,).
    """

    def __init__(self, space: DesignSpace, pool: Pool, config: PPOConfig, starts: IntArray) -> None:
        self._space, self._pool, self._config = space, pool, config
        self.rows = starts
        self.active = np.ones(len(starts), dtype=bool)
        self._scores = pool.evaluate(starts)

    def step(self, actions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Move the active episodes by actions of shape (n, dims) and return the rewards.

        The rewards have shape (n,) and are 0 for episodes that are not active.
        """
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
    """Return the number of action dimensions of a move, each with {down, stay, up}."""
    return space.width if config.moves == "knob" else space.move_dims


def move(
    space: DesignSpace, config: PPOConfig, rows: IntArray, actions: npt.NDArray[np.int64]
) -> IntArray:
    """Apply actions to rows by knobs or by boundaries, as `PPOConfig.moves` says.

    Args:
        space: The design space of the rows.
        config: The hyper-parameters of the agent.
        rows: Configurations, shape (n, 1 + width).
        actions: The action in each dimension, shape (n, dims).

    Returns:
        The canonical rows after the actions, shape (n, 1 + width).
    """
    return (space.step if config.moves == "knob" else space.move)(rows, actions)


def settled(space: DesignSpace, before: IntArray, after: IntArray) -> FloatArray:
    """Return the share of each row's knobs that stayed or are at their first or last value.

    Args:
        space: The design space of the rows.
        before: The rows before a move, shape (n, 1 + width).
        after: The rows after the move, shape (n, 1 + width).

    Returns:
        The shares, shape (n,).
    """
    sizes = space.sizes[after[:, 0]]
    stayed = before[:, 1:] == after[:, 1:]
    bound = (after[:, 1:] == 0) | (after[:, 1:] == sizes - 1)
    real = sizes > 0
    return np.asarray((real & (stayed | bound)).sum(axis=1) / real.sum(axis=1))


def starts(
    space: DesignSpace, config: PPOConfig, pool: Pool, history: History, rng: np.random.Generator
) -> IntArray:
    """Draw the starts of episodes from the best measured, the best found, and all configurations.

    Args:
        space: The design space of the task.
        config: The hyper-parameters, with the number of starts and the shares of their sources.
        pool: The best candidates found in this round.
        history: The outcomes of the task so far.
        rng: The source of randomness.

    Returns:
        The starts, shape (environments, 1 + width). A source without rows is replaced by uniformly
        drawn rows.
    """
    shares = ((history.ranked(), config.measured_share), (pool.rows, config.elite_share))
    chosen = [
        best[rng.integers(min(len(best), ENOUGH), size=int(config.environments * share))]
        for best, share in shares
        if len(best)
    ]
    drawn = space.sample(config.environments - sum(map(len, chosen)), rng)
    return np.concatenate([*chosen, drawn])


class Observer:
    """Converter of rows into the observations of the agent.

    Attributes:
        size: The number of features of an observation.
    """

    def __init__(self, space: DesignSpace, config: PPOConfig, rng: np.random.Generator) -> None:
        self._space, self._config = space, config
        raw = self._raw(space.sample(_REFERENCE_SAMPLES, rng))
        self.size = raw.shape[1]
        self._mean, self._deviation = np.zeros(self.size), np.ones(self.size)
        if config.observation == "encoding":
            self._mean, self._deviation = raw.mean(axis=0), raw.std(axis=0) + _SMALL

    def __call__(self, rows: IntArray) -> npt.NDArray[np.float32]:
        """Compute the observations, shape (n, inputs), of rows of shape (n, 1 + width)."""
        return ((self._raw(rows) - self._mean) / self._deviation).astype(np.float32)

    def _raw(self, rows: IntArray) -> npt.NDArray[np.floating]:
        if self._config.observation == "encoding":
            return self._space.encode(rows)
        sketches = rows[:, :1] == np.arange(len(self._space.sketches))
        last = np.maximum(self._space.sizes[rows[:, 0]] - 1, 1)
        return np.concatenate([sketches, 2.0 * rows[:, 1:] / last - 1.0], axis=1)


class PPOExplorer:
    """Chameleon's adaptive exploration: a policy learns which moves the cost model rewards.

    The agent is built in the first round with a fitted model and continues to learn in every round.
    All randomness comes from the generators given to `propose`.
    """

    def __init__(self, config: PPOConfig = TUNED) -> None:
        self.config = config
        self._agent: Agent | None = None
        self._observer: Observer | None = None

    def propose(
        self, space: DesignSpace, model: Surrogate, history: History, rng: np.random.Generator
    ) -> Candidates:
        """See `Explorer.propose`; a step moves all environments once."""
        if not model.fitted:
            return unscored(space, history, rng, self.config.keep)
        # Importing PyTorch takes seconds, so it is imported only when it is needed.
        from chameleon_tuner.search.explore.ppo.agent import single_thread

        pool = Pool(space, model, history, self.config.keep)
        steps = 0
        with single_thread():
            agent, observer = self._prepared(space, rng)
            for _ in range(self.config.episodes):
                begin = starts(space, self.config, pool, history, rng)
                environment = Environment(space, pool, self.config, begin)
                trajectory = rollout(agent, observer, environment, self.config.max_steps, rng)
                agent.learn(trajectory, rng)
                steps += len(trajectory.rewards)
        return pool.candidates(steps, rng)

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Do nothing: the agent's rewards come from the model, which is refitted to outcomes."""

    def _prepared(self, space: DesignSpace, rng: np.random.Generator) -> tuple[Agent, Observer]:
        from chameleon_tuner.search.explore.ppo.agent import Agent

        if self._agent is None or self._observer is None:
            self._observer = Observer(space, self.config, rng)
            dims = action_dims(space, self.config)
            self._agent = Agent(self._observer.size, dims, self.config, rng)
        return self._agent, self._observer


def rollout(
    agent: Agent,
    observer: Observer,
    environment: Environment,
    max_steps: int,
    rng: np.random.Generator,
) -> Trajectory:
    """Let the agent act until no episode is active or a number of steps is reached.

    Args:
        agent: The agent that chooses the actions.
        observer: The converter of rows into observations.
        environment: The episodes, at their starts.
        max_steps: The largest number of steps, at least 1.
        rng: The source of randomness.

    Returns:
        The transitions of all episodes.
    """
    from chameleon_tuner.search.explore.ppo.agent import Trajectory

    observations = [observer(environment.rows)]
    actions: list[Actions] = []
    rewards: list[npt.NDArray[np.float32]] = []
    active: list[npt.NDArray[np.bool_]] = []
    while len(rewards) < max_steps and environment.active.any():
        active.append(environment.active.copy())
        actions.append(agent.act(observations[-1], rng))
        rewards.append(environment.step(actions[-1]))
        observations.append(observer(environment.rows))
    return Trajectory(
        np.stack(observations), np.stack(actions), np.stack(rewards), np.stack(active)
    )
