"""The PPO agent, which acts on batches of observations and learns from the rewards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from chameleon_tuner.search.explore.ppo.config import PPOConfig
from chameleon_tuner.search.explore.ppo.math import (
    clipped_surrogate,
    entropy,
    gae,
    log_probability,
    normalised,
)
from chameleon_tuner.space import STAY

ACTIONS = 3
"""The number of actions of each dimension: OUTWARD, STAY and INWARD."""


class ActorCritic(nn.Module):
    """A policy over MultiDiscrete([3] * dims) and a value function, each with two tanh layers.

    The two tanh layers are those of Chameleon's published code. Actor and critic share no weights,
    which is the usual choice for small observations (Andrychowicz et al., arXiv 2006.05990,
    section 3.2).
    """

    def __init__(self, inputs: int, dims: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.dims = dims
        self.actor = _perceptron((inputs, hidden, hidden, dims * ACTIONS), 0.01, generator)
        self.critic = _perceptron((inputs, hidden, hidden, 1), 1.0, generator)

    def favour_staying(self, logit: float) -> None:
        """Add a constant to the logit of STAY in every dimension, before any training."""
        bias = cast(Tensor, self.actor[-1].bias)
        with torch.no_grad():
            bias.view(self.dims, ACTIONS)[:, STAY] += logit

    def log_policy(self, observations: Tensor, temperature: float) -> Tensor:
        """Return the log-probability of each action, shape (n, dims, 3)."""
        logits: Tensor = self.actor(observations)
        return torch.log_softmax(logits.view(-1, self.dims, ACTIONS) / temperature, dim=-1)

    def value(self, observations: Tensor) -> Tensor:
        """Return the expected discounted reward, shape (n,)."""
        values: Tensor = self.critic(observations)
        return values.squeeze(-1)


def _perceptron(sizes: tuple[int, ...], gain: float, generator: torch.Generator) -> nn.Sequential:
    """Build a perceptron with tanh layers; `gain` scales the weights of the output layer.

    The weights are orthogonal and the biases zero (Andrychowicz et al., section 3.2).
    """
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = index == len(sizes) - 2
        # The meta device avoids an initialisation from torch's global generator.
        layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        nn.init.orthogonal_(layer.weight, gain if last else 2.0**0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)


Actions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trajectory:
    """The transitions of a batch of environments that move in lockstep.

    Attributes:
        observations: The observations before each step and after the last one, shape
            (steps + 1, environments, inputs).
        actions: The actions of each step, shape (steps, environments, dims).
        rewards: The rewards of each step, shape (steps, environments).
        active: Whether the episode was still running at the step, shape (steps, environments). If
            it was not, its other entries at that step have no meaning, and its observation no
            longer changes.
    """

    observations: npt.NDArray[np.float32]
    actions: Actions
    rewards: npt.NDArray[np.float32]
    active: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Batch:
    """Transitions in any order; every tensor has shape (n, ...)."""

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
    """A PPO agent with a policy over MultiDiscrete([3] * dims).

    All its randomness comes from the generators that it is given.
    """

    def __init__(self, inputs: int, dims: int, config: PPOConfig, rng: np.random.Generator) -> None:
        self.config = config
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        self._network = ActorCritic(inputs, dims, config.hidden, generator)
        self._network.favour_staying(config.stay_bias * config.softmax_temperature)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)

    def act(self, observations: npt.NDArray[np.float32], rng: np.random.Generator) -> Actions:
        """Draw actions, shape (n, dims), from the policy for observations of shape (n, inputs)."""
        with torch.no_grad():
            log_policy = self._log_policy(torch.from_numpy(observations))
        below = np.cumsum(log_policy.exp().numpy(), axis=-1)[..., :-1]
        return np.asarray((rng.random((*below.shape[:-1], 1)) > below).sum(axis=-1), dtype=np.int64)

    def learn(self, trajectory: Trajectory, rng: np.random.Generator) -> None:
        """Run a few epochs of clipped policy gradient on one trajectory."""
        batch = self._batch(trajectory)
        for _ in range(self.config.epochs):
            shuffled = torch.from_numpy(rng.permutation(len(batch)))
            for index in torch.split(shuffled, self.config.minibatch):
                self._descend(batch.take(index))

    def _log_policy(self, observations: Tensor) -> Tensor:
        return self._network.log_policy(observations, self.config.softmax_temperature)

    def _batch(self, trajectory: Trajectory) -> _Batch:
        """Flatten the active steps of a trajectory, with advantages and old probabilities."""
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
        """Compute the loss of policy, value and entropy terms, equation 9 of the PPO paper."""
        config, log_policy = self.config, self._log_policy(batch.observations)
        log_ratio = log_probability(log_policy, batch.actions) - batch.log_probabilities
        policy = clipped_surrogate(log_ratio, normalised(batch.advantages), config.clip)
        value = (self._network.value(batch.observations) - batch.returns).square().mean()
        return policy + config.value_weight * value - config.entropy_weight * entropy(log_policy)


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit PyTorch to one thread inside the block.

    The tensors are small, and with one thread the order of sums is fixed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
