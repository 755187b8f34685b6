"""The PPO explorer: rounds of episodes over the model, by an agent that lives as long as a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from chameleon_tuner.cost.base import Surrogate
from chameleon_tuner.explore.base import Candidates
from chameleon_tuner.explore.pool import Pool, unscored
from chameleon_tuner.explore.ppo.config import TUNED, PPOConfig
from chameleon_tuner.explore.ppo.environment import Environment, Observer, action_dims, starts
from chameleon_tuner.history import History
from chameleon_tuner.measure.outcome import Outcome
from chameleon_tuner.space import DesignSpace

if TYPE_CHECKING:
    from chameleon_tuner.explore.ppo.agent import Actions, Agent, Trajectory


class PPOExplorer:
    """Chameleon's adaptive exploration: a policy learns which moves the cost model rewards.

    The agent is made at the first round with a fitted model and goes on learning in every round.
    All its chance comes from the generators given to `propose`.
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
        # PyTorch takes seconds to import; who never explores with it need not wait.
        from chameleon_tuner.explore.ppo.agent import single_thread

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
        """Nothing to learn: the agent's reward is the model's, which is refitted on these."""

    def _prepared(self, space: DesignSpace, rng: np.random.Generator) -> tuple[Agent, Observer]:
        from chameleon_tuner.explore.ppo.agent import Agent

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
    """Let the agent act until no episode is active or `max_steps` (at least 1) are done."""
    from chameleon_tuner.explore.ppo.agent import Trajectory

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
