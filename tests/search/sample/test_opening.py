from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.explore.analytic import Core, promising
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.recipes import paired, task_search
from chameleon_tuner.search.sample.baselines import GreedySampler
from chameleon_tuner.search.sample.opening import LEAST, MOST, WithOpening
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import Bowl, bowl, conv2d_space, measure

LANDSCAPE = bowl()
TASK = Task("t", "key", "", {}, LANDSCAPE.space)
PAIRS = [(e, s) for e in ("annealing", "ppo", "random") for s in ("greedy", "adaptive", "spread")]


def test_all_pairs_share_their_first_batch_and_no_later_one() -> None:
    first, second = [], []
    for explorer, sampler in PAIRS:
        mine = task_search(TASK, paired(explorer, sampler), 5, SharedRecords())
        batches = []
        for _ in range(2):
            candidates = mine.explorer.propose(TASK.space, mine.model, mine.history, mine.rng)
            rows = mine.sampler.select(candidates, mine.history, 64, mine.rng)
            mine.history.extend(measure(LANDSCAPE, rows))
            mine.model.fit(mine.history)
            batches.append(rows)
        first.append(batches[0])
        second.append(batches[1].tobytes())
    assert all(np.array_equal(first[0], other) for other in first)
    assert len(set(second)) == len(PAIRS)


ZEN = Core(lanes=8, registers=16, threads=2)


@pytest.mark.parametrize(("plan", "opening"), [(1, 1), (2, LEAST), (4, 2), (8, 4), (16, MOST)])
def test_the_analytic_model_begins_the_first_batch_and_no_later_one(
    plan: int, opening: int
) -> None:
    space, rng = conv2d_space(), np.random.default_rng(0)
    landscape = Bowl(space, space.sample(1, rng)[0])
    first = promising(space, ZEN, opening)
    rows = space.unique(np.concatenate([first[:1], space.sample(99, rng)]))
    some = Candidates(rows, np.linspace(1, 0, len(rows)), np.zeros(len(rows)))
    sampler, history = WithOpening(GreedySampler(epsilon=0), ZEN), History(space)
    batch = sampler.select(some, history, plan, rng)
    assert len(batch) == plan
    np.testing.assert_array_equal(batch[:opening], first)
    np.testing.assert_array_equal(batch[opening:], rows[1 : 1 + plan - opening])
    history.extend(measure(landscape, batch))
    later = [
        sampler.select(some, history, plan, rng),
        sampler.sampler.select(some, history, plan, rng),
    ]
    np.testing.assert_array_equal(*later)
