"""The learner: acts on batches of observations and improves from what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from chameleon_tuner.explore.ppo.config import PPOConfig
from chameleon_tuner.explore.ppo.math import (
    clipped_surrogate,
    entropy,
    gae,
    log_probability,
    normalised,
)
from chameleon_tuner.explore.ppo.network import ActorCritic

Actions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trajectory:
    """What a batch of environments went through, in step.

    Attributes:
        observations: before each step and after the last, (steps + 1, environments, inputs).
        actions: (steps, environments, dims).
        rewards: (steps, environments).
        active: whether the episode still ran at the step, (steps, environments); the other
            entries of that step mean nothing, and the observation no longer changes.
    """

    observations: npt.NDArray[np.float32]
    actions: Actions
    rewards: npt.NDArray[np.float32]
    active: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Batch:
    """Transitions without their order: (n, ...)."""

    observations: Tensor
    actions: Tensor
    log_probabilities: Tensor
    advantages: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, index: Tensor) -> _Batch:
        return _Batch(
            self.observations[index],
            self.actions[index],
            self.log_probabilities[index],
            self.advantages[index],
            self.returns[index],
        )


class Agent:
    """PPO with a MultiDiscrete([3] * dims) policy; draws only from the generators it is given."""

    def __init__(self, inputs: int, dims: int, config: PPOConfig, rng: np.random.Generator) -> None:
        self.config = config
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        self._network = ActorCritic(inputs, dims, config.hidden, generator)
        self._network.favour_staying(config.stay_bias * config.softmax_temperature)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)

    def act(self, observations: npt.NDArray[np.float32], rng: np.random.Generator) -> Actions:
        """Actions (n, dims) drawn from the policy for observations (n, inputs)."""
        with torch.no_grad():
            log_policy = self._log_policy(torch.from_numpy(observations))
        below = np.cumsum(log_policy.exp().numpy(), axis=-1)[..., :-1]
        return np.asarray((rng.random((*below.shape[:-1], 1)) > below).sum(axis=-1), dtype=np.int64)

    def learn(self, trajectory: Trajectory, rng: np.random.Generator) -> None:
        """A few epochs of clipped policy gradient on one trajectory."""
        batch = self._batch(trajectory)
        for _ in range(self.config.epochs):
            shuffled = torch.from_numpy(rng.permutation(len(batch)))
            for index in torch.split(shuffled, self.config.minibatch):
                self._descend(batch.take(index))

    def _log_policy(self, observations: Tensor) -> Tensor:
        return self._network.log_policy(observations, self.config.softmax_temperature)

    def _batch(self, trajectory: Trajectory) -> _Batch:
        """Flatten what happened while episodes ran, with advantages and old probabilities."""
        config, active = self.config, torch.from_numpy(trajectory.active)
        observations = torch.from_numpy(trajectory.observations)
        rewards = torch.from_numpy(trajectory.rewards)
        continues = torch.zeros_like(rewards)
        continues[:-1] = active[1:].to(rewards.dtype)
        with torch.no_grad():
            values = self._network.value(observations.flatten(0, 1)).view(observations.shape[:2])
            advantages = gae(rewards, values, continues, config.gamma, config.lam)
            seen, actions = observations[:-1][active], torch.from_numpy(trajectory.actions)[active]
            log_probabilities = log_probability(self._log_policy(seen), actions)
        returns = (advantages + values[:-1])[active]
        return _Batch(seen, actions, log_probabilities, advantages[active], returns)

    def _descend(self, batch: _Batch) -> None:
        loss = self._loss(batch)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self.config.gradient_norm)
        self._optimizer.step()

    def _loss(self, batch: _Batch) -> Tensor:
        """Policy, value and entropy terms, equation 9 of the PPO paper."""
        config, log_policy = self.config, self._log_policy(batch.observations)
        log_ratio = log_probability(log_policy, batch.actions) - batch.log_probabilities
        policy = clipped_surrogate(log_ratio, normalised(batch.advantages), config.clip)
        value = (self._network.value(batch.observations) - batch.returns).square().mean()
        return policy + config.value_weight * value - config.entropy_weight * entropy(log_policy)


@contextmanager
def single_thread() -> Iterator[None]:
    """One thread for PyTorch inside: the tensors are small, and sums have one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
