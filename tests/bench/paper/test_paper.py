from __future__ import annotations

import json
import math

import pytest

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.bench.paper.published import (
    ANNEALING_ADAPTIVE,
    ANNEALING_GREEDY,
    CELLS,
    INFERENCE_GAIN_TABLE,
    NETWORKS,
    PPO_ADAPTIVE,
    PPO_GREEDY,
    SPEEDUP,
)
from chameleon_tuner.bench.paper.tables import paper_tables
from chameleon_tuner.system.files import strict_json

WEIGHTS = {"alexnet-1": 1.0, "alexnet-4": 2.0}


def run(recipe: str, task: str, final_us: float, reached: int, seed: int = 0) -> Curve:
    """Two incumbents: twice the final from the start, the final after so many measurements."""
    return Curve(
        recipe,
        task,
        seed,
        seconds=[10.0, 10.0 * reached],
        measurements=[1, reached],
        steps=[0, 100 * reached],
        best_us=[2 * final_us, final_us],
        own_us=[2 * final_us, final_us],
        final_us=final_us,
        total_secs=3600.0,
        trials=128,
        total_steps=20_000,
    )


def grid(reached: dict[str, int], final_us: float = 1000.0) -> list[Curve]:
    return [
        run(recipe, task, final_us, number, seed)
        for recipe, number in reached.items()
        for task in WEIGHTS
        for seed in (0, 1)
    ]


def geomean(values: list[float]) -> float:
    return math.prod(values) ** (1 / len(values))


@pytest.mark.parametrize("cell", SPEEDUP)
def test_published_speedups_are_those_of_the_published_hours(cell: str):
    gains = [row[ANNEALING_GREEDY].hours / row[cell].hours for row in NETWORKS.values()]
    assert geomean(gains) == pytest.approx(SPEEDUP[cell], abs=0.006)


def test_published_inference_gain_is_that_of_the_published_table():
    gains = [
        row[ANNEALING_GREEDY].inference_ms / row[PPO_ADAPTIVE].inference_ms
        for row in NETWORKS.values()
    ]
    assert geomean(gains) == pytest.approx(INFERENCE_GAIN_TABLE, abs=0.0005)


def test_rows_in_the_papers_form():
    tables = paper_tables(grid({ANNEALING_GREEDY: 100, PPO_GREEDY: 25}), WEIGHTS)
    (row,) = tables.rows
    assert (row.network, row.tasks, row.tasks_published) == ("alexnet", 2, 5)
    assert row.published[PPO_ADAPTIVE].hours == 1.20
    cell = row.cells[PPO_GREEDY]
    assert cell is not None
    assert cell.hours == pytest.approx(2.0)
    assert cell.hours_to_reach == pytest.approx(2 * 250 / 3600)
    assert cell.inference_ms == pytest.approx(3.0)
    assert cell.steps == pytest.approx(5000)
    assert cell.measurements_to_reach == pytest.approx(50)
    assert row.cells[PPO_ADAPTIVE] is None


def test_ppo_paper_stands_in_for_ppo():
    curves = grid({ANNEALING_GREEDY: 100, "ppo-paper+adaptive:64": 50})
    tables = paper_tables(curves, WEIGHTS)
    assert tables.labels[PPO_ADAPTIVE] == "ppo-paper+adaptive:64"
    assert tables.rows[0].cells[PPO_ADAPTIVE] is not None
    both = paper_tables(grid({"ppo-paper+adaptive": 1, PPO_ADAPTIVE: 1}), WEIGHTS)
    assert both.labels[PPO_ADAPTIVE] == PPO_ADAPTIVE


def test_a_partial_comparison_leaves_cells_empty():
    curves = [c for c in grid(dict.fromkeys(CELLS, 10)) if c.task == "alexnet-1"]
    cells = paper_tables(curves, WEIGHTS).rows[0].cells
    assert set(cells.values()) == {None}
    alone = paper_tables(grid({PPO_ADAPTIVE: 10}), WEIGHTS)
    cell = alone.rows[0].cells[PPO_ADAPTIVE]
    assert cell is not None
    assert math.isnan(cell.hours_to_reach)
    assert {claim.ours for claim in alone.claims} == {None}
    assert alone.disagreements() == []
    json.dumps(strict_json(alone), allow_nan=False)


def test_never_reached_counts_as_the_whole_budget():
    curves = grid({ANNEALING_GREEDY: 100}) + grid({PPO_GREEDY: 10}, final_us=1100.0)
    cell = paper_tables(curves, WEIGHTS).rows[0].cells[PPO_GREEDY]
    assert cell is not None
    assert cell.hours_to_reach == pytest.approx(2.0)
    assert cell.measurements_to_reach == pytest.approx(256)


def test_other_networks_are_no_part_of_the_paper():
    tables = paper_tables([run(ANNEALING_GREEDY, "bert-1", 1.0, 5)], {"bert-1": 12.0})
    assert tables.rows == []
    assert tables.disagreements() == []


def test_disagreements_are_said_with_our_interval():
    curves = grid({ANNEALING_GREEDY: 100, ANNEALING_ADAPTIVE: 80})
    said = paper_tables(curves, WEIGHTS).disagreements()
    assert (
        "The paper's adaptive sampling needs 1.98x fewer measurements under annealing; "
        "here 1.25x (1.25 to 1.25)." in said
    )
    assert not any("PPO" in sentence for sentence in said)


def test_with_one_seed_only_the_direction_can_disagree():
    slower = [c for c in grid({ANNEALING_GREEDY: 100, PPO_GREEDY: 125}) if c.seed == 0]
    said = paper_tables(slower, WEIGHTS).disagreements()
    assert said == [
        "The paper's PPO explores 2.88x fewer steps than annealing (1.63 to 3.85 by layer); "
        "here 0.80x (one seed).",
        "The paper's PPO alone tunes 1.18x faster than AutoTVM; "
        "here 0.80x (one seed) against the time AutoTVM itself took to get there.",
    ]


def test_agreement_is_silent():
    curves = grid({ANNEALING_GREEDY: 100}) + [
        run(ANNEALING_ADAPTIVE, task, 1000.0, reached, seed)
        for task in WEIGHTS
        for seed, reached in ((0, 40), (1, 70))
    ]
    claims = {claim.published: claim for claim in paper_tables(curves, WEIGHTS).claims}
    measured = claims[1.98]
    assert measured.ours is not None
    assert measured.ours.value == pytest.approx(100 / 2800**0.5)
    assert measured.sentence == ""
