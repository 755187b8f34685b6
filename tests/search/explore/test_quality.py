"""What the searches reach with equal numbers of predictions, over seeds.

All look at 9,984 configurations a round; the best 16 candidates of a round are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import pytest

from chameleon_tuner.search.explore.base import Explorer
from chameleon_tuner.search.explore.local import AnnealingConfig, AnnealingExplorer
from chameleon_tuner.search.explore.pool import RandomExplorer
from chameleon_tuner.search.explore.ppo import TUNED, PPOExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.testing.landscapes import (
    BEST_SECS,
    Oracle,
    deceptive,
    measure,
    recorded_landscape,
)

EVALUATIONS = TUNED.environments * TUNED.episodes * (1 + TUNED.max_steps)
ITERATIONS = EVALUATIONS // 128 - 2  # annealing also predicts its start, and cools once more

EXPLORERS: dict[str, Callable[[], Explorer]] = {
    "tuned": PPOExplorer,
    "frozen": partial(PPOExplorer, replace(TUNED, learning_rate=0.0)),
    "annealing": partial(
        AnnealingExplorer, AnnealingConfig(iterations=ITERATIONS, early_stop=EVALUATIONS)
    ),
    "random": partial(RandomExplorer, EVALUATIONS),
}
LANDSCAPES = {"deceptive": deceptive, "recorded": recorded_landscape}
ROUNDS = 3
SEEDS = range(5)


def search(explorer: Explorer, name: str, seed: int) -> tuple[float, float]:
    """Score of the best measured, and the mean score of the last round's best 64 candidates."""
    landscape, rng = LANDSCAPES[name](), np.random.default_rng(seed)
    history, oracle = History(landscape.space), Oracle(landscape)
    history.extend(measure(landscape, landscape.space.sample(64, rng)))
    ranked = np.zeros(0)
    for _ in range(ROUNDS):
        part = explorer.propose(landscape.space, oracle, history, rng)
        order = np.argsort(-part.scores, kind="stable")
        ranked = part.scores[order]
        history.extend(measure(landscape, part.rows[order[:16]]))
    assert oracle.evaluations == ROUNDS * EVALUATIONS
    return float(-np.log(history.best_secs / BEST_SECS)), float(ranked[:64].mean())


@lru_cache
def medians(explorer: str, landscape: str) -> tuple[float, float]:
    """Over seeds: of the best measured, and of the best 64 candidates."""
    found = [search(EXPLORERS[explorer](), landscape, seed) for seed in SEEDS]
    best, leaders = np.median(found, axis=0).tolist()
    return best, leaders


# Margins are about half of what was found with these seeds.
@pytest.mark.parametrize(
    ("landscape", "other", "best_margin", "leaders_margin"),
    [
        ("deceptive", "random", 0.35, 0.25),
        ("deceptive", "annealing", 0.25, 0.15),
        ("deceptive", "frozen", 0.25, 0.10),
        ("recorded", "random", 0.04, 0.08),
        ("recorded", "annealing", 0.02, 0.05),
        ("recorded", "frozen", 0.01, 0.04),
    ],
)
def test_the_tuned_agent_finds_better_than(
    landscape: str, other: str, best_margin: float, leaders_margin: float
) -> None:
    best, leaders = medians("tuned", landscape)
    other_best, other_leaders = medians(other, landscape)
    assert best > other_best + best_margin
    assert leaders > other_leaders + leaders_margin
