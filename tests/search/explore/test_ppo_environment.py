from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.explore.pool import Pool
from chameleon_tuner.search.explore.ppo import PAPER, TUNED
from chameleon_tuner.search.explore.ppo.explorer import (
    Environment,
    Observer,
    action_dims,
    move,
    settled,
    starts,
)
from chameleon_tuner.search.history import History
from chameleon_tuner.space import INWARD, STAY
from chameleon_tuner.testing.landscapes import Oracle, bowl, measure, two_sketch_space

BOWL = bowl()
SPACE = BOWL.space
TWO = two_sketch_space()


def pool_and_history() -> tuple[Pool, History]:
    history = History(SPACE)
    return Pool(SPACE, Oracle(BOWL), history), history


@given(st.integers(0, 2**32 - 1))
def test_settled_counts_knobs_that_stayed_or_are_at_a_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = TWO.sample(6, rng)
    after = TWO.step(before, rng.integers(3, size=(6, TWO.width)))
    shares = settled(TWO, before, after)
    for old, new, share in zip(before, after, shares, strict=True):
        sizes = TWO.sketches[new[0]].sizes
        still = [
            old[1 + k] == new[1 + k] or new[1 + k] in (0, size - 1) for k, size in enumerate(sizes)
        ]
        assert share == pytest.approx(np.mean(still))


def test_the_papers_moves_are_one_step_in_the_list_of_each_knob() -> None:
    row = np.array([[0, 5, 5, 3, 1, 0]], dtype=np.int32)
    assert action_dims(TWO, PAPER) == TWO.width
    moved = move(TWO, PAPER, row, np.full((1, TWO.width), INWARD))
    assert moved.tolist() == [[0, 6, 6, 4, 2, 0]]
    assert action_dims(TWO, TUNED) == TWO.move_dims


@pytest.mark.parametrize("reward", ["score", "gain"])
def test_rewards_are_the_score_or_what_was_gained(reward: str) -> None:
    pool, _ = pool_and_history()
    rng = np.random.default_rng(0)
    config = replace(TUNED, reward=reward, reward_limit=np.inf)
    environment = Environment(SPACE, pool, config, SPACE.sample(16, rng))
    for _ in range(3):
        before = BOWL.score(environment.rows)
        rewards = environment.step(rng.integers(3, size=(16, SPACE.move_dims)))
        after = BOWL.score(environment.rows)
        expected = after if reward == "score" else after - before
        np.testing.assert_allclose(rewards, expected, rtol=1e-5, atol=1e-6)


def test_rewards_are_limited() -> None:
    pool, _ = pool_and_history()
    rng = np.random.default_rng(0)
    config = replace(TUNED, reward_limit=0.1)
    environment = Environment(SPACE, pool, config, SPACE.sample(64, rng))
    rewards = environment.step(rng.integers(3, size=(64, SPACE.move_dims)))
    assert rewards.min() == pytest.approx(-0.1)
    assert rewards.max() == pytest.approx(0.1)


def test_an_ended_episode_stands_still_and_costs_nothing() -> None:
    oracle = Oracle(BOWL)
    pool, rng = Pool(SPACE, oracle, History(SPACE)), np.random.default_rng(0)
    environment = Environment(SPACE, pool, PAPER, SPACE.sample(8, rng))
    actions = rng.integers(3, size=(8, SPACE.width))
    actions[:3] = STAY
    environment.step(actions)
    assert not environment.active[:3].any()
    ended, evaluations = ~environment.active, oracle.evaluations
    before = environment.rows
    rewards = environment.step(np.full((8, SPACE.width), INWARD))
    assert np.array_equal(environment.rows[ended], before[ended])
    assert not rewards[ended].any()
    assert oracle.evaluations - evaluations == 8 - ended.sum()


def test_all_that_is_reached_is_in_the_pool() -> None:
    pool, _ = pool_and_history()
    rng = np.random.default_rng(0)
    environment = Environment(SPACE, pool, TUNED, SPACE.sample(8, rng))
    seen = [environment.rows]
    for _ in range(3):
        environment.step(rng.integers(3, size=(8, SPACE.move_dims)))
        seen.append(environment.rows)
    assert set(SPACE.keys(pool.rows)) == set(SPACE.keys(np.concatenate(seen)))


def test_starts_are_mixed_as_configured() -> None:
    pool, history = pool_and_history()
    rng = np.random.default_rng(0)
    measured, found = SPACE.sample(5, rng), SPACE.sample(5, rng)
    history.extend(measure(BOWL, measured))
    pool.evaluate(found)
    config = replace(TUNED, environments=40, measured_share=0.25, elite_share=0.5)
    begin = starts(SPACE, config, pool, history, rng)
    assert len(begin) == 40
    assert np.isin(SPACE.keys(begin), SPACE.keys(measured)).sum() == 10
    assert np.isin(SPACE.keys(begin), SPACE.keys(found)).sum() == 20


@pytest.mark.parametrize("config", [PAPER, TUNED])
def test_observations_tell_configurations_apart_and_are_of_order_1(config) -> None:
    rng = np.random.default_rng(0)
    observer = Observer(TWO, config, rng)
    rows = TWO.unique(TWO.sample(500, rng))
    observations = observer(rows)
    assert observations.shape == (len(rows), observer.size)
    assert observations.dtype == np.float32
    assert len(np.unique(observations.round(4), axis=0)) == len(rows)
    assert np.abs(observations).max() < 10
