"""What the recipes are made of, by what they do."""

from __future__ import annotations

import numpy as np
import pytest

from chameleon_tuner.search.cost.shared import SharedRecords
from chameleon_tuner.search.cost.surrogate import TreeSurrogate
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.recipes import RECIPES
from chameleon_tuner.space import neighbours
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import Bowl, conv2d_space, measure

SPACE = conv2d_space()
TASK = Task("t", "key", "", {}, SPACE)
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])


@pytest.mark.parametrize(("recipe", "least", "most"), [("chameleon", 7, 10), ("autotvm", 0, 3)])
def test_the_default_recipe_leaves_where_it_has_settled(recipe: str, least: int, most: int) -> None:
    """Half of a batch is of untried micro-kernels, however little they promise."""
    rng = np.random.default_rng(0)
    drawn = SPACE.sample(300, rng)
    history = History(SPACE)
    history.extend(sorted(measure(BOWL, drawn[:100]), key=lambda outcome: outcome.seconds))
    tried = np.concatenate([neighbours(SPACE, row[None]) for row in drawn[:20]])
    rows = SPACE.unique(np.concatenate([tried, drawn[100:]]))
    new = ~np.isin(SPACE.micro_kernels(rows), SPACE.micro_kernels(history.rows))
    some = Candidates(rows, np.where(new, -9.0, 0.0), np.full(len(rows), 0.05))
    batch = RECIPES[recipe].sampler(TASK).select(some, history, 16, rng)
    known = np.isin(SPACE.micro_kernels(batch), SPACE.micro_kernels(history.rows))
    assert len(batch) == 16
    assert least <= int((~known).sum()) <= most


def test_the_default_recipe_looks_where_it_has_not_settled() -> None:
    """Evolution and descent stay around what was measured; MAP-Elites brings the others."""
    measured = SPACE.sample(64, np.random.default_rng(0))
    history = History(SPACE)
    history.extend(measure(BOWL, measured))
    model = TreeSurrogate(SPACE)
    model.fit(history)
    looked_at = {
        name: len(np.unique(SPACE.micro_kernels(_proposed(name, model, history).rows)))
        for name in ("chameleon", "chameleon-cold")
    }
    assert looked_at["chameleon"] > 1.5 * looked_at["chameleon-cold"]


def _proposed(recipe: str, model: TreeSurrogate, history: History) -> Candidates:
    explorer = RECIPES[recipe].explorer(SharedRecords())
    return explorer.propose(SPACE, model, history, np.random.default_rng(1))


def test_the_recipe_random_is_random() -> None:
    """It does not take what the cost model likes: its picks are as good as draws on average."""
    history = History(SPACE)
    history.extend(measure(BOWL, SPACE.sample(64, np.random.default_rng(0))))
    model = TreeSurrogate(SPACE)
    model.fit(history)
    rng, recipe = np.random.default_rng(1), RECIPES["random"]
    drawn = BOWL.score(SPACE.sample(5000, rng))
    some = recipe.explorer(SharedRecords()).propose(SPACE, model, history, rng)
    batch = recipe.sampler(TASK).select(some, history, 64, rng)
    error = drawn.std() / np.sqrt(len(batch))
    assert abs(BOWL.score(batch).mean() - drawn.mean()) < 3 * error
