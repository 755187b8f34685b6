"""The agent's hyper-parameters, the paper's and ours, with the source of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chameleon_tuner.explore.pool import KEEP


@dataclass(frozen=True)
class PPOConfig:
    """What an agent is made of. See `PAPER` and `TUNED` for values and their sources."""

    environments: int
    """Configurations that walk side by side."""
    episodes: int
    """Episodes a round; the agent learns after each."""
    max_steps: int
    """Moves an episode, at most."""
    settled: float | None
    """Share of knobs that stay or sit at a bound which ends an episode; None: never."""
    moves: Literal["knob", "boundary"]
    """An action dimension for each knob (`DesignSpace.step`) or each boundary between the levels
    of a tile (`DesignSpace.move`)."""
    observation: Literal["indices", "encoding"]
    """What the agent sees of a configuration: the index of each knob's value, scaled to [-1, 1],
    or the space's encoding, standardised."""
    reward: Literal["score", "gain"]
    """The model's score of the configuration reached, or what was gained by the move."""
    reward_limit: float
    """Rewards are cut to this size."""
    measured_share: float
    """Share of the starts drawn from the best measured configurations."""
    elite_share: float
    """Share of the starts drawn from the best candidates found in this round so far."""
    learning_rate: float
    gamma: float
    lam: float
    epochs: int
    minibatch: int
    clip: float
    value_weight: float
    entropy_weight: float
    gradient_norm: float
    hidden: int
    """Width of both layers of the actor and of the critic."""
    softmax_temperature: float
    stay_bias: float
    """Log-odds of staying over either move, in every dimension of the untrained policy."""
    keep: int = KEEP
    """Candidates a round."""


PAPER = PPOConfig(
    environments=128,  # paper, appendix: 128 starts
    episodes=1,  # published code: one episode and one update a round
    max_steps=500,  # paper, appendix
    settled=0.75,  # published code; the paper has no early end
    moves="knob",  # paper, section 3.1: up, stay or down in the list of each knob's values
    observation="indices",  # paper, section 3.1: the state is a configuration; the scale is ours
    reward="score",  # paper, section 3.1: the cost model's prediction
    reward_limit=float("inf"),
    measured_share=0.0,  # paper, section 3.1: random starts
    elite_share=0.0,
    learning_rate=1e-3,  # paper, appendix, and code: Adam
    gamma=0.9,  # paper, appendix, and code
    lam=0.99,  # paper, appendix, and code
    epochs=3,  # paper, appendix, and code
    minibatch=32,  # published code
    clip=0.3,  # paper, appendix; the code has 0.2
    value_weight=1.0,  # paper, appendix, and code
    entropy_weight=0.1,  # paper, appendix; the code has 0.3
    gradient_norm=float("inf"),  # not mentioned
    hidden=20,  # published code
    softmax_temperature=0.1,  # published code
    stay_bias=0.0,  # not mentioned
)
"""The paper's agent. Its own numbers come first; what it leaves open is its published code's."""

TUNED = PPOConfig(
    environments=128,
    episodes=6,
    max_steps=12,
    settled=None,
    moves="boundary",
    observation="encoding",
    reward="gain",
    reward_limit=0.5,
    measured_share=0.25,
    elite_share=0.0,
    learning_rate=3e-3,
    gamma=0.5,
    lam=0.95,
    epochs=3,
    minibatch=256,
    clip=0.2,
    value_weight=0.5,
    entropy_weight=0.02,
    gradient_norm=0.5,
    hidden=64,
    softmax_temperature=1.0,
    stay_bias=1.0,
)
"""Ours."""
