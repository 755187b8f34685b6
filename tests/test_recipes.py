"""What the recipes are made of, by what they do."""

from __future__ import annotations

import numpy as np

from chameleon_tuner.cost.shared import SharedRecords
from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.recipes import RECIPES, task_search
from chameleon_tuner.space import IntArray
from chameleon_tuner.task import Task
from chameleon_tuner.testing.landscapes import Bowl, conv2d_space

SPACE = conv2d_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])


def untried(recipe: str, batches: int) -> list[int]:
    """Rows of each batch with a micro-kernel of no batch before, where nothing is gained."""
    task = Task("conv", "key", "", {}, SPACE)
    mine = task_search(task, RECIPES[recipe], 0, SharedRecords())
    history, found = mine.history, []
    for _ in range(batches):
        mine.model.fit(history)
        candidates = mine.explorer.propose(SPACE, mine.model, history, mine.rng)
        rows = mine.sampler.select(candidates, history, RECIPES[recipe].batch, mine.rng)
        new = ~np.isin(SPACE.micro_kernels(rows), SPACE.micro_kernels(history.rows))
        found.append(int(new.sum()))
        history.extend(
            [
                replayed(configuration, Status.OK, secs, 0.1, 0.01)
                for configuration, secs in zip(
                    SPACE.configurations(rows), _seconds(rows), strict=True
                )
            ]
        )
    return found


def test_the_default_recipe_leaves_where_it_has_settled() -> None:
    """Half of a batch, once four batches gained nothing; a recipe without curiosity stays."""
    found = untried("chameleon", 8)
    assert min(found[5:]) >= 7
    assert max(found[5:]) < 16
    assert max(untried("chameleon-cold", 8)[5:]) < 7


def _seconds(rows: IntArray) -> list[float]:
    """A bowl whose middle is flat: there is something to learn, and soon nothing to gain."""
    return np.exp(np.maximum(-BOWL.score(rows), 3.0)).tolist()
