"""The best of every micro-kernel by the model."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.explore.evolutionary import (
    ElitesConfig,
    ElitesExplorer,
    EvolutionaryExplorer,
)
from chameleon_tuner.search.explore.pool import ENOUGH
from chameleon_tuner.search.history import History
from chameleon_tuner.space import Choice, DesignSpace, Sketch, Tile
from chameleon_tuner.space.space import first_of_each, neighbours
from chameleon_tuner.testing.landscapes import Bowl, Oracle, conv2d_space, measure

SPACE = conv2d_space()
BOWL = Bowl(SPACE, SPACE.sample(1, np.random.default_rng(5))[0])


def settled() -> History:
    """What a search has measured that has come down to the optimum."""
    history = History(SPACE)
    history.extend(measure(BOWL, SPACE.unique(neighbours(SPACE, BOWL.optimum[None]))))
    return history


@given(niches=st.lists(st.integers(0, 4), max_size=30))
def test_the_first_of_each_niche(niches: list[int]) -> None:
    expected = [niche not in niches[:place] for place, niche in enumerate(niches)]
    assert first_of_each(np.array(niches, dtype=np.uint64)).tolist() == expected


def test_each_micro_kernel_once_the_best_first() -> None:
    explorer, rng = ElitesExplorer(), np.random.default_rng(0)
    part = explorer.propose(SPACE, Oracle(BOWL), settled(), rng)
    assert len(np.unique(SPACE.micro_kernels(part.rows))) == len(part) == explorer.config.keep
    assert (np.diff(part.scores) <= 0).all()


def test_of_each_it_is_the_best_that_was_looked_at() -> None:
    drawn = SPACE.unique(SPACE.sample(500, np.random.default_rng(0)))
    explorer = ElitesExplorer(ElitesConfig(drawn=500, keep=10_000))
    history = History(SPACE)
    part = explorer.propose(SPACE, Oracle(BOWL), history, np.random.default_rng(0))
    scores, niches = BOWL.score(drawn), SPACE.micro_kernels(drawn)
    best = {niche: scores[niches == niche].max() for niche in niches}
    found = dict(zip(SPACE.micro_kernels(part.rows), part.scores, strict=True))
    assert found == best


def test_it_sees_more_of_the_space_than_evolution() -> None:
    history, rng = settled(), np.random.default_rng(0)
    elites, evolved = (
        explorer.propose(SPACE, Oracle(BOWL), history, rng)
        for explorer in (ElitesExplorer(), EvolutionaryExplorer())
    )
    seen = [len(np.unique(SPACE.micro_kernels(part.rows))) for part in (elites, evolved)]
    assert len(elites) < len(evolved)
    assert seen[0] > seen[1]


def test_mutants_of_what_is_kept_are_better_than_as_many_random_rows() -> None:
    history, model = settled(), Oracle(BOWL)
    means = []
    for config in (ElitesConfig(drawn=256, mutants=512), ElitesConfig(drawn=768, mutants=0)):
        explorer, rng = ElitesExplorer(config), np.random.default_rng(0)
        parts = [explorer.propose(SPACE, model, history, rng) for _ in range(16)]
        count = len(parts[0])
        assert (parts[-1].scores[:count] >= parts[0].scores).all()
        means.append(parts[-1].scores[:200].mean())
    assert means[0] > means[1] + 0.5


def test_what_was_measured_makes_room_in_its_niche() -> None:
    explorer, rng = ElitesExplorer(), np.random.default_rng(0)
    history, model = settled(), Oracle(BOWL)
    first = explorer.propose(SPACE, model, history, rng)
    history.extend(measure(BOWL, first.rows[:10]))
    second = explorer.propose(SPACE, model, history, rng)
    assert not history.visited(second.rows).any()
    kept = np.isin(SPACE.keys(first.rows[10:60]), SPACE.keys(second.rows))
    better = np.isin(SPACE.micro_kernels(first.rows[10:60]), SPACE.micro_kernels(second.rows))
    assert better.all()
    assert kept.mean() > 0.5


def test_where_there_are_few_micro_kernels_the_next_best_of_them_come_too() -> None:
    space = DesignSpace((Sketch((Tile(8, 2, 2), Choice(tuple(range(200))))),))
    some = Bowl(space, space.sample(1, np.random.default_rng(1))[0])
    part = ElitesExplorer().propose(space, Oracle(some), History(space), np.random.default_rng(0))
    assert len(np.unique(space.micro_kernels(part.rows))) == 2
    assert len(part) == len(space.unique(part.rows)) == ENOUGH
