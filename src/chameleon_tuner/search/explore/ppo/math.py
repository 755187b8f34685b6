"""PPO's mathematics as pure functions of tensors.

Schulman et al., "High-dimensional continuous control using generalized advantage estimation"
(arXiv 1506.02438), equations 11 to 16, and "Proximal policy optimization algorithms"
(arXiv 1707.06347), equations 7 and 9.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, continues: Tensor, gamma: float, lam: float) -> Tensor:
    """Compute generalised advantage estimates.

    Episodes are truncated and never terminate: the value of an episode's last state stands for the
    rest of its return.

    Args:
        rewards: The rewards of each step, shape (steps, environments).
        values: The values of the states before each step and after the last one, shape
            (steps + 1, environments).
        continues: 1.0 where the episode continues after the step, 0.0 where it was truncated there,
            shape (steps, environments). The entries of the last step have no effect.
        gamma: The discount factor.
        lam: The decay of the estimate: 0 gives the one-step error of the value function, 1 gives
            the return minus the value.

    Returns:
        The advantages, shape (steps, environments).
    """
    errors = rewards + gamma * values[1:] - values[:-1]
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    for step in reversed(range(len(rewards))):
        following = errors[step] + gamma * lam * continues[step] * following
        advantages[step] = following
    return advantages


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Compute the clipped loss of the policy: minus the mean of the lower of two objectives.

    The two objectives are the ratio of probabilities times the advantage, with and without
    clipping of the ratio.

    Args:
        log_ratio: The logarithm of the new policy's probability of each action over the old
            policy's, shape (n,).
        advantages: The advantages of the actions, shape (n,).
        clip: The distance of the ratio from 1 beyond which it is clipped.

    Returns:
        The loss, a scalar.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages).mean()


def log_probability(log_policy: Tensor, actions: Tensor) -> Tensor:
    """Return the joint log-probability of the actions in independent dimensions, shape (n,).

    Args:
        log_policy: The log-probability of each action, shape (n, dims, 3).
        actions: The chosen action in each dimension, shape (n, dims).
    """
    return log_policy.gather(-1, actions.unsqueeze(-1)).squeeze(-1).sum(dim=-1)


def entropy(log_policy: Tensor) -> Tensor:
    """Return the mean over the batch of the policy's joint entropy in nats, a scalar.

    The log-probabilities have shape (n, dims, 3).
    """
    return -(log_policy.exp() * log_policy).sum(dim=(-2, -1)).mean()


def normalised(advantages: Tensor) -> Tensor:
    """Scale advantages, shape (n,), to mean 0 and standard deviation 1.

    This is common practice, but not part of the PPO paper.
    """
    return (advantages - advantages.mean()) / (advantages.std(unbiased=False) + 1e-8)
