"""What is particular to each search; what they have in common is in the contract."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.search.cost.base import Prediction
from chameleon_tuner.search.explore.composed import MixedExplorer
from chameleon_tuner.search.explore.evolutionary import (
    EvolutionaryExplorer,
    EvolutionConfig,
    cross,
    select,
)
from chameleon_tuner.search.explore.local import (
    AnnealingConfig,
    AnnealingExplorer,
    DescentConfig,
    DescentExplorer,
    acceptance,
)
from chameleon_tuner.search.explore.pool import RandomExplorer
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace, IntArray, Sketch, Tile, neighbours, random_moves
from chameleon_tuner.testing.landscapes import Bowl, Oracle, bowl, measure, two_sketch_space

BOWL = bowl()
SPACE = BOWL.space
TWO = two_sketch_space()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def history_of(count: int) -> History:
    history = History(SPACE)
    history.extend(measure(BOWL, SPACE.sample(count, rng())))
    return history


# -- annealing


def test_it_cools_linearly_from_1_and_stops_before_0() -> None:
    temperatures = AnnealingConfig(iterations=4).temperatures()
    np.testing.assert_allclose(temperatures, [1.0, 0.8, 0.6, 0.4, 0.2])


def test_gains_are_always_accepted_and_losses_by_temperature() -> None:
    gain = np.array([0.5, 0.0, -0.5])
    hot, cold = acceptance(gain, 1.0), acceptance(gain, 0.01)
    assert (hot[:2] >= 1).all()
    assert (cold[:2] >= 1).all()
    assert hot[2] == pytest.approx(np.exp(-0.5), rel=1e-4)
    assert cold[2] < 1e-20


def test_every_iteration_is_one_prediction_of_all_chains() -> None:
    oracle = Oracle(BOWL)
    config = AnnealingConfig(parallel=16, iterations=9, early_stop=100)
    part = AnnealingExplorer(config).propose(SPACE, oracle, history_of(4), rng())
    assert part.steps == 10
    assert (oracle.calls, oracle.evaluations) == (11, 11 * 16)


class _Flat(Bowl):
    def score(self, rows):
        return np.zeros(len(rows))


def test_it_stops_early_once_the_best_no_longer_change() -> None:
    flat = _Flat(SPACE, BOWL.optimum)
    part = AnnealingExplorer().propose(SPACE, Oracle(flat), History(SPACE), rng())
    assert part.steps == 50


def test_chains_go_on_where_the_last_round_left_them() -> None:
    config = AnnealingConfig(iterations=60, early_stop=100)
    persistent = AnnealingExplorer(config)
    forgetful = AnnealingExplorer(AnnealingConfig(iterations=60, early_stop=100, persistent=False))
    means = []
    for explorer in (persistent, forgetful):
        chance = rng()
        for _ in range(3):
            oracle = Oracle(BOWL)
            explorer.propose(SPACE, oracle, History(SPACE), chance)
        means.append(explorer._points)
    assert means[1] is None
    start = BOWL.score(SPACE.sample(128, rng())).mean()
    assert BOWL.score(means[0]).mean() > start + 1.0


# -- evolution


def test_parents_are_drawn_in_proportion_to_throughput() -> None:
    scores = np.log([1.0, 2.0, 4.0, 1.0])
    counts = np.bincount(select(scores, 80_000, rng()), minlength=4) / 80_000
    np.testing.assert_allclose(counts, [1 / 8, 2 / 8, 4 / 8, 1 / 8], atol=0.01)


def test_scores_of_any_size_give_parents() -> None:
    assert (select(np.array([-1e6, 0.0]), 10, rng()) == 1).all()
    assert len(select(np.array([1e6, 1e6 - 1]), 10, rng())) == 10


@given(st.integers(0, 2**32 - 1))
def test_a_child_has_every_knob_from_a_parent_of_its_sketch(seed: int) -> None:
    chance = np.random.default_rng(seed)
    parents = TWO.sample(12, chance)
    children = cross(parents, chance)
    assert np.array_equal(children[:, 0], parents[:, 0])
    for child in children:
        mates = parents[parents[:, 0] == child[0]]
        assert all(child[column] in mates[:, column] for column in range(1, len(child)))


def test_evolution_predicts_its_population_once_a_generation() -> None:
    oracle = Oracle(BOWL)
    config = EvolutionConfig(population=64, generations=3)
    part = EvolutionaryExplorer(config).propose(SPACE, oracle, history_of(16), rng())
    assert part.steps == 3
    assert oracle.calls == 4
    assert oracle.evaluations == 4 * 64


# -- descent and moves


def test_descent_proposes_neighbours_of_the_best() -> None:
    history = history_of(40)
    config = DescentConfig(incumbents=2, enough=1)
    part = DescentExplorer(config).propose(SPACE, Oracle(BOWL), history, rng())
    best = history.ranked()[:2]
    around = np.concatenate([neighbours(SPACE, row[None]) for row in best])
    expected = {key for key in SPACE.keys(around) if key not in SPACE.keys(best)}
    assert expected <= set(SPACE.keys(part.rows))
    assert part.steps == 1


def test_descent_widens_where_the_neighbours_are_visited() -> None:
    history = History(SPACE)
    history.extend(measure(BOWL, BOWL.optimum[None, :]))
    history.extend(measure(BOWL, neighbours(SPACE, BOWL.optimum[None])))
    config = DescentConfig(incumbents=1, enough=1)
    part = DescentExplorer(config).propose(SPACE, Oracle(BOWL), history, rng())
    assert part.steps == 2
    assert part.scores.max() == pytest.approx(-2 * BOWL.slope)


def test_neighbours_are_those_of_each_row() -> None:
    rows = TWO.unique(TWO.sample(5, rng()))
    one_by_one = set(itertools.chain(*(TWO.keys(neighbours(TWO, row[None])) for row in rows)))
    found = TWO.keys(neighbours(TWO, rows))
    assert len(set(found)) == len(found)
    assert set(found) == one_by_one - set(TWO.keys(rows))


def test_a_random_move_leads_to_a_neighbour_or_stays() -> None:
    rows = TWO.sample(30, rng())
    for row, moved in zip(rows, random_moves(TWO, rows, rng()), strict=True):
        allowed = np.append(TWO.keys(neighbours(TWO, row[None])), TWO.keys(row[None, :]))
        assert TWO.keys(moved[None, :])[0] in allowed


# -- random and mixed


def test_random_hands_on_the_best_of_its_samples() -> None:
    few = RandomExplorer(samples=256, keep=256).propose(SPACE, Oracle(BOWL), History(SPACE), rng())
    best = RandomExplorer(samples=256, keep=64).propose(SPACE, Oracle(BOWL), History(SPACE), rng())
    assert best.scores.tolist() == sorted(few.scores.tolist(), reverse=True)[:64]


def test_a_mixture_is_the_union_and_its_steps_add_up() -> None:
    def parts() -> list:
        return [DescentExplorer(), EvolutionaryExplorer(), EvolutionaryExplorer()]

    history, chance = history_of(30), rng()
    alone = [part.propose(SPACE, Oracle(BOWL), history, chance) for part in parts()]
    together = MixedExplorer(parts()).propose(SPACE, Oracle(BOWL), history, rng())
    expected = set(itertools.chain(*(SPACE.keys(part.rows) for part in alone)))
    assert set(SPACE.keys(together.rows)) == expected
    assert together.steps == sum(part.steps for part in alone)


class _Listener(RandomExplorer):
    heard = 0

    def observe(self, outcomes):
        self.heard += len(outcomes)


def test_every_part_of_a_mixture_observes() -> None:
    parts = [_Listener(), _Listener()]
    MixedExplorer(parts).observe(measure(BOWL, SPACE.sample(3, rng())))
    assert [part.heard for part in parts] == [3, 3]


def test_pytorch_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, chameleon_tuner.search.explore.ppo, chameleon_tuner.search.explore.composed; "
        "chameleon_tuner.search.explore.ppo.PPOExplorer(); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_islands_give_every_sketch_its_share() -> None:
    """Also one that the model thinks little of."""
    sketches = tuple(Sketch((Tile(4096, 4, 4096), Tile(4096, 2, 4096))) for _ in range(3))
    space = DesignSpace(sketches)

    class Biased(Oracle):
        def predict(self, rows: IntArray) -> Prediction:
            return Prediction(-50.0 * (rows[:, 0] == 2), np.ones(len(rows)))

    found = {}
    for islands in (False, True):
        explorer = EvolutionaryExplorer(EvolutionConfig(islands=islands))
        found[islands] = explorer.propose(space, Biased(BOWL), History(space), rng())
    counts = {key: np.bincount(c.rows[:, 0], minlength=3) for key, c in found.items()}
    assert counts[False][2] == 0
    assert counts[True].min() > 100
    assert found[True].steps == found[False].steps


def test_islands_are_predicted_together() -> None:
    oracle = Oracle(Bowl(TWO, TWO.sample(1, rng())[0]))
    config = EvolutionConfig(islands=True, generations=3)
    EvolutionaryExplorer(config).propose(TWO, oracle, History(TWO), rng())
    assert (oracle.calls, oracle.evaluations) == (4, 4 * config.population)
