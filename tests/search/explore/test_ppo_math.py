from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.explore.ppo.math import (
    clipped_surrogate,
    entropy,
    gae,
    log_probability,
    normalised,
)

Floats = npt.NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)


def gae_by_definition(
    rewards: Floats, values: Floats, continues: Floats, gamma: float, lam: float
) -> Floats:
    """Equation 16 of the GAE paper: the discounted sum of all errors to the end of the episode."""
    steps, environments = rewards.shape
    result = np.zeros_like(rewards)
    for env, start in itertools.product(range(environments), range(steps)):
        for ahead in range(steps - start):
            now = start + ahead
            error = rewards[now, env] + gamma * values[now + 1, env] - values[now, env]
            result[start, env] += (gamma * lam) ** ahead * error
            if not continues[now, env]:
                break
    return result


def tensors(*arrays: npt.ArrayLike) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


@given(seeds, st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_its_definition(seed: int, steps: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    rewards, values = rng.normal(size=(steps, 3)), rng.normal(size=(steps + 1, 3))
    continues = (rng.random((steps, 3)) < 0.8).astype(np.float64)
    found = gae(*tensors(rewards, values, continues), gamma, lam)
    expected = gae_by_definition(rewards, values, continues, gamma, lam)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_gae_with_lambda_1_is_the_discounted_return_less_the_value() -> None:
    rewards, values = np.array([[1.0], [2.0], [4.0]]), np.array([[10.0], [20.0], [30.0], [8.0]])
    found = gae(*tensors(rewards, values, np.ones((3, 1))), 0.5, 1.0)
    returns = [1 + 2 / 2 + 4 / 4 + 8 / 8, 2 + 4 / 2 + 8 / 4, 4 + 8 / 2]
    assert found.ravel().tolist() == [returns[0] - 10, returns[1] - 20, returns[2] - 30]


def test_an_episode_that_was_cut_off_does_not_see_what_comes_after() -> None:
    rewards, values = np.zeros((3, 1)), np.zeros((4, 1))
    rewards[2], continues = 100.0, np.array([[1.0], [0.0], [1.0]])
    found = gae(*tensors(rewards, values, continues), 0.9, 0.9)
    assert found.ravel().tolist() == [0.0, 0.0, 100.0]


def surrogate_by_definition(log_ratio: Floats, advantages: Floats, clip: float) -> float:
    """Equation 7 of the PPO paper, one sample after the other."""
    total = 0.0
    for log, advantage in zip(log_ratio.tolist(), advantages.tolist(), strict=True):
        ratio = math.exp(log)
        total += min(ratio * advantage, max(1 - clip, min(1 + clip, ratio)) * advantage)
    return -total / len(advantages)


@given(seeds, st.integers(1, 20), st.floats(0.01, 0.9))
def test_the_clipped_surrogate_is_its_definition(seed: int, count: int, clip: float) -> None:
    rng = np.random.default_rng(seed)
    log_ratio, advantages = rng.normal(size=count), rng.normal(size=count)
    found = clipped_surrogate(*tensors(log_ratio, advantages), clip).item()
    assert found == pytest.approx(surrogate_by_definition(log_ratio, advantages, clip))


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.0, 1.0, -1.0),
        (1.5, 1.0, 0.0),  # gained enough
        (0.5, 1.0, -0.5),  # moved the wrong way: pulled back
        (1.5, -1.0, 1.5),
        (0.5, -1.0, 0.0),
    ],
)
def test_the_gradient_ends_where_the_clip_begins(
    ratio: float, advantage: float, slope: float
) -> None:
    log_ratio = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    clipped_surrogate(log_ratio, torch.tensor([advantage]), 0.2).backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.item() == pytest.approx(slope)


def joint(policy: Floats) -> dict[tuple[int, ...], float]:
    """The probability of every combination of actions under (dims, 3) independent dimensions."""
    combinations = itertools.product(range(3), repeat=len(policy))
    return {c: math.prod(policy[dim, action] for dim, action in enumerate(c)) for c in combinations}


@given(seeds, st.integers(1, 3))
def test_log_probability_and_entropy_are_those_of_the_joint_distribution(
    seed: int, dims: int
) -> None:
    rng = np.random.default_rng(seed)
    policies = rng.dirichlet((1.0, 1.0, 1.0), size=(4, dims)) * 0.97 + 0.01
    actions = rng.integers(3, size=(4, dims))
    joints = [joint(policy) for policy in policies]
    (log_policy,) = tensors(np.log(policies))
    found = log_probability(log_policy, torch.from_numpy(actions)).numpy()
    expected = [j[tuple(a)] for j, a in zip(joints, actions.tolist(), strict=True)]
    np.testing.assert_allclose(np.exp(found), expected)
    each = [-sum(p * math.log(p) for p in j.values()) for j in joints]
    assert entropy(log_policy).item() == pytest.approx(np.mean(each))


def test_normalised_advantages_have_mean_0_and_deviation_1() -> None:
    (advantages,) = tensors(np.random.default_rng(0).normal(3.0, 5.0, size=1000))
    found = normalised(advantages).numpy()
    assert (found.mean(), found.std()) == pytest.approx((0.0, 1.0))


def test_equal_advantages_and_a_single_one_become_zeros() -> None:
    assert normalised(torch.full((5,), 3.0)).tolist() == [0.0] * 5
    assert normalised(torch.tensor([3.0])).tolist() == [0.0]
