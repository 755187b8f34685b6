"""PPO's mathematics as pure functions of tensors.

Schulman et al., "High-dimensional continuous control using generalized advantage estimation"
(arXiv 1506.02438), equations 11 to 16, and "Proximal policy optimization algorithms"
(arXiv 1707.06347), equations 7 and 9.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gae(rewards: Tensor, values: Tensor, continues: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimates, (steps, environments).

    Episodes here are cut off and never terminate: where one ends, the value of the state it
    ended in stands for the rest of it.

    Args:
        rewards: (steps, environments).
        values: of the state before each step and of the last one, (steps + 1, environments).
        continues: 1.0 where the episode goes on after the step, 0.0 where it was cut off there,
            (steps, environments); the last step needs no mark.
        gamma: the discount.
        lam: 0 is the one-step error of the value, 1 the return less the value.
    """
    errors = rewards + gamma * values[1:] - values[:-1]
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[0])
    for step in reversed(range(len(rewards))):
        following = errors[step] + gamma * lam * continues[step] * following
        advantages[step] = following
    return advantages


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The policy's loss, a scalar: minus the mean of the lower of two gains.

    Args:
        log_ratio: log of the new policy's probability of each action over the old one's, (n,).
        advantages: (n,).
        clip: how far the ratio may leave 1 before there is nothing more to gain.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages).mean()


def log_probability(log_policy: Tensor, actions: Tensor) -> Tensor:
    """Of independent dimensions together, (n,), from (n, dims, 3) and actions (n, dims)."""
    return log_policy.gather(-1, actions.unsqueeze(-1)).squeeze(-1).sum(dim=-1)


def entropy(log_policy: Tensor) -> Tensor:
    """Mean over the batch of the joint entropy in nats, a scalar, from (n, dims, 3)."""
    return -(log_policy.exp() * log_policy).sum(dim=(-2, -1)).mean()


def normalised(advantages: Tensor) -> Tensor:
    """Advantages (n,) with mean 0 and deviation 1; a common habit, not in the PPO paper."""
    return (advantages - advantages.mean()) / (advantages.std(unbiased=False) + 1e-8)
