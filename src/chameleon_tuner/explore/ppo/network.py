"""The actor and the critic: two small perceptrons."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from chameleon_tuner.space import STAY

ACTIONS = 3


class ActorCritic(nn.Module):
    """A policy over MultiDiscrete([3] * dims) and a value, each with two tanh layers.

    Two tanh layers are Chameleon's published code; that actor and critic share nothing is the
    usual choice for small observations (Andrychowicz et al., arXiv 2006.05990, section 3.2).
    """

    def __init__(self, inputs: int, dims: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.dims = dims
        self.actor = _perceptron((inputs, hidden, hidden, dims * ACTIONS), 0.01, generator)
        self.critic = _perceptron((inputs, hidden, hidden, 1), 1.0, generator)

    def favour_staying(self, logit: float) -> None:
        """Add to the logit of STAY in every dimension, before any training."""
        bias = cast(Tensor, self.actor[-1].bias)
        with torch.no_grad():
            bias.view(self.dims, ACTIONS)[:, STAY] += logit

    def log_policy(self, observations: Tensor, temperature: float) -> Tensor:
        """Log of each action's probability, (n, dims, 3)."""
        logits: Tensor = self.actor(observations)
        return torch.log_softmax(logits.view(-1, self.dims, ACTIONS) / temperature, dim=-1)

    def value(self, observations: Tensor) -> Tensor:
        """Expected discounted reward, (n,)."""
        values: Tensor = self.critic(observations)
        return values.squeeze(-1)


def _perceptron(sizes: tuple[int, ...], gain: float, generator: torch.Generator) -> nn.Sequential:
    """Orthogonal weights, zero biases (Andrychowicz et al., section 3.2), `gain` at the output."""
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = index == len(sizes) - 2
        # On the meta device, or it would initialise itself from torch's global generator.
        layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        nn.init.orthogonal_(layer.weight, gain if last else 2.0**0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)
