from __future__ import annotations

import numpy as np

from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.recipes import paired, task_search
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import bowl, measure

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
