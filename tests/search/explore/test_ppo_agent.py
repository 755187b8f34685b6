from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from chameleon_tuner.search.explore.pool import Pool
from chameleon_tuner.search.explore.ppo import PAPER, TUNED, PPOConfig
from chameleon_tuner.search.explore.ppo.agent import Agent, Trajectory, single_thread
from chameleon_tuner.search.explore.ppo.explorer import Environment, Observer, action_dims, rollout
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, Sketch, Tile
from chameleon_tuner.testing.landscapes import Bowl, Oracle

# One tile of 64 in four parts: 84 configurations, three boundaries, one best place for each.
ONE_TILE = DesignSpace((Sketch((Tile(64, 4, 64),)),))
TILE = ONE_TILE.sketches[0].knobs[0]
SOLVED = Bowl(ONE_TILE, np.array([0, TILE.index_of((2, 4, 4, 2))], dtype=np.int32))
LONG = replace(TUNED, environments=64, max_steps=12, measured_share=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_thread():
        yield


def final_scores(config: PPOConfig, episodes: int, seed: int) -> list[float]:
    """The mean score of where each episode ended; all start at random."""
    rng = np.random.default_rng(seed)
    observer = Observer(ONE_TILE, config, rng)
    agent = Agent(observer.size, action_dims(ONE_TILE, config), config, rng)
    ends = []
    for _ in range(episodes):
        pool = Pool(ONE_TILE, Oracle(SOLVED), History(ONE_TILE))
        start = ONE_TILE.sample(config.environments, rng)
        environment = Environment(ONE_TILE, pool, config, start)
        agent.learn(rollout(agent, observer, environment, config.max_steps, rng), rng)
        ends.append(float(SOLVED.score(environment.rows).mean()))
    return ends


@pytest.mark.parametrize("seed", range(3))
def test_it_solves_what_is_trivial(seed: int) -> None:
    ends = final_scores(LONG, 40, seed)
    assert np.mean(ends[-5:]) > -0.5 * SOLVED.slope


def test_without_learning_it_solves_nothing() -> None:
    ends = final_scores(replace(LONG, learning_rate=0.0), 10, 0)
    assert np.mean(ends) < -2.0 * SOLVED.slope


def test_the_papers_form_learns_too() -> None:
    config = replace(PAPER, settled=None, max_steps=20)
    ends = final_scores(config, 10, 0)
    assert np.mean(ends[-3:]) > ends[0] + 0.5 * SOLVED.slope


def made_trajectory(rng: np.random.Generator, active: np.ndarray) -> Trajectory:
    steps, environments = active.shape
    return Trajectory(
        rng.normal(size=(steps + 1, environments, 3)).astype(np.float32),
        rng.integers(3, size=(steps, environments, 4)),
        rng.normal(size=(steps, environments)).astype(np.float32),
        active,
    )


def policy_after(trajectory: Trajectory) -> list[float]:
    rng = np.random.default_rng(0)
    agent = Agent(3, 4, TUNED, rng)
    agent.learn(trajectory, rng)
    parameters = torch.nn.utils.parameters_to_vector(agent._network.parameters())
    return parameters.detach().tolist()


def test_what_lies_behind_the_end_of_an_episode_is_not_learned_from() -> None:
    active = np.arange(6)[:, None] < np.array([2, 4, 6])
    rng = np.random.default_rng(1)
    trajectory = made_trajectory(rng, active)
    # Behind an end the observation is that of the end itself; the rest is meaningless.
    observations = trajectory.observations.copy()
    for env, end in enumerate((2, 4, 6)):
        observations[end:, env] = observations[end, env]
    one = replace(trajectory, observations=observations)
    other = replace(
        one,
        actions=np.where(active[..., None], one.actions, 0),
        rewards=np.where(active, one.rewards, np.float32(1e6)),
    )
    assert policy_after(one) == policy_after(other)


def test_actions_follow_the_policy() -> None:
    rng = np.random.default_rng(0)
    agent = Agent(3, 5, TUNED, rng)
    observations = np.repeat(rng.normal(size=(1, 3)).astype(np.float32), 20_000, axis=0)
    actions = agent.act(observations, rng)
    found = np.stack([(actions == action).mean(axis=0) for action in range(3)], axis=1)
    with torch.no_grad():
        log_policy = agent._log_policy(torch.from_numpy(observations[:1]))[0]
    np.testing.assert_allclose(found, log_policy.exp().numpy(), atol=0.02)


def test_an_untrained_agent_stays_as_often_as_it_should() -> None:
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(2000, 6)).astype(np.float32)
    for bias, temperature in ((0.0, 1.0), (2.0, 1.0), (2.0, 0.5)):
        config = replace(TUNED, stay_bias=bias, softmax_temperature=temperature)
        stayed = (Agent(6, 10, config, rng).act(observations, rng) == 1).mean()
        assert stayed == pytest.approx(np.exp(bias) / (np.exp(bias) + 2), abs=0.03)


def test_global_chance_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    final_scores(LONG, 1, 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_threads_are_restored_also_after_an_error() -> None:
    torch.set_num_threads(2)
    inside = []

    def fail() -> None:
        with single_thread():
            inside.append(torch.get_num_threads())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [1]
    assert torch.get_num_threads() == 2
