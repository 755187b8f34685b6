from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.bench.figures.curve import Curve
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.report.compare import (
    ClusterRound,
    ComparisonView,
    Table,
    cluster_round,
    write_report,
)
from chameleon_tuner.report.compare.bars import CELLS, two_by_two, where_time_went
from chameleon_tuner.report.compare.curves import by_task, over_tasks
from chameleon_tuner.search.explore.base import Candidates
from chameleon_tuner.search.history import History
from chameleon_tuner.search.sample.adaptive import AdaptiveSampler, Origin
from chameleon_tuner.space import neighbours
from chameleon_tuner.testing.landscapes import conv2d_space

Read = Callable[[str], Any]
HOSTILE = '<script>alert("$x_$")</script>--><b>'


def curve(recipe: str, task: str, seed: int, final: float = 100.0) -> Curve:
    us, at = [4 * final, 2 * final, final], [4.0, 9, 14 + seed]
    spent = {"explore": 2.0, "build": 5.0, "total": 20.0, "other": 13.0}
    return Curve(
        recipe, task, seed, at, [1, 8, 30], [0, 0, 0], us, us, final, 3.0, 20.0, 32,
        0, {} if recipe == "metaschedule" else spent,
    )  # fmt: skip


def curves(tasks: tuple[str, ...] = ("one", "two"), seeds: int = 2) -> list[Curve]:
    recipes = ("chameleon", *CELLS, "metaschedule")
    return [
        curve(recipe, task, seed, 100 + 5 * n + seed)
        for task in tasks
        for n, recipe in enumerate(recipes)
        for seed in range(seeds)
    ]


def a_round() -> ClusterRound:
    space = conv2d_space()
    rng = np.random.default_rng(0)
    hubs = space.sample(8, rng)
    history = History(space)
    made = space.configurations(np.stack([neighbours(space, hub[None])[0] for hub in hubs]))
    history.extend([Outcome(c, c, str(c), Status.OK, (1e-3,)) for c in made])
    rows = space.unique(np.concatenate([space.mutate(hubs, rng) for _ in range(12)]))
    scores = -rng.random(len(rows))
    candidates = Candidates(rows, scores, np.zeros(len(rows)))
    sampler = AdaptiveSampler(epsilon=0.3)
    found = cluster_round(history, candidates, sampler, 32, 3, task="one")
    batch = sampler.select(candidates, history, 32, np.random.default_rng(3))
    assert (found.origins != Origin.NOTHING).sum() + len(found.random) == len(batch)
    return found


@pytest.fixture(scope="module")
def view() -> ComparisonView:
    table = Table("Merit", ("recipe", "us"), [("chameleon", "1.0"), (HOSTILE, "2")], "A note.")
    made = [*curves((HOSTILE,)), replace(curve("random", HOSTILE, 0), error=HOSTILE)]
    facts = [("command", f"chameleon compare {HOSTILE}")]
    return ComparisonView("Title", "It is <faster>.", made, [table], facts, a_round())


@pytest.fixture(scope="module")
def written(view: ComparisonView, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_report(tmp_path_factory.mktemp("report"), view)


def test_the_page_and_all_figures_are_written_whole(written: list[Path]) -> None:
    names = [
        "curves-all",
        "curves-seconds",
        "curves-measurements",
        "two-by-two",
        "time",
        "clusters",
    ]
    wanted = [f"{name}.{ending}" for name in names for ending in ("svg", "png")]
    assert [path.name for path in written] == ["report.html", *wanted]
    assert sorted(written[0].parent.rglob("*.*")) == sorted(written)
    for path in written:
        if path.suffix == ".svg":
            assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - our own file
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")


def test_the_page_refers_to_nothing_but_itself(written: list[Path], read: Read) -> None:
    page = written[0].read_text()
    reader = read(page)
    assert not reader.tags & {"script", "link", "iframe", "img", "object"}
    assert all(reference.startswith("#") for reference in reader.references)
    assert {reference[1:] for reference in reader.references} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))
    assert "@import" not in page
    assert "<!DOCTYPE svg" not in page


def test_names_are_text_and_never_markup(written: list[Path]) -> None:
    page = written[0].read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "It is &lt;faster&gt;." in page
    assert "&lt;script&gt;alert" in page


def test_the_same_view_gives_the_same_bytes(
    view: ComparisonView, written: list[Path], tmp_path: Path
) -> None:
    again = write_report(tmp_path, view)
    assert [a.read_bytes() for a in again] == [b.read_bytes() for b in written]


def test_without_runs_there_is_a_page_all_the_same(tmp_path: Path, read: Read) -> None:
    (page,) = write_report(tmp_path / "new" / "folder", ComparisonView("Title", "Nothing.", []))
    read(page.read_text())


NOTHING = Curve("random", "one", 0, error="it broke")
EDGES = {
    "one run": [curve("chameleon", "one", 0)],
    "one seed": curves(seeds=1),
    "nothing found at all": [NOTHING],
    "a recipe without incumbents": [*curves(), NOTHING],
    "a task nobody could run": [*curves(), replace(NOTHING, task="other")],
    "an infinite final": [
        *curves(),
        replace(curve("random", "one", 0), best_us=[9.0, 5.0, math.inf], final_us=math.inf),
    ],
    "all infinite": [replace(curve("a", "one", 0), best_us=[math.inf] * 3, final_us=math.inf)],
    "one incumbent at the end": [
        Curve("a", "one", 0, [20.0], [32], [0], [7.0], [7.0], 7.0, 3.0, 20.0, 32)
    ],
    "a clock that stands still": [Curve("a", "one", 0, [0.0], [1], [0], [7.0], [7.0], 7.0)],
    "far off": [curve("a", "one", 0), curve("b", "one", 0, 1e6)],
    "a steady name": [curve("_a", "one", 0), curve("b$", "t" * 200, 0)],
    "five tasks": curves(("1", "2", "3", "4", "5"), seeds=1),
}


@pytest.mark.parametrize("given", EDGES.values(), ids=EDGES.keys())
def test_whatever_is_missing_is_left_out(given: list[Curve], tmp_path: Path, read: Read) -> None:
    read(write_report(tmp_path, ComparisonView("T", "S", given))[0].read_text())


def test_the_2x2_needs_its_four_cells() -> None:
    assert two_by_two(curves())
    assert not two_by_two([c for c in curves() if c.recipe != CELLS[3]])
    assert not two_by_two([replace(c, final_us=math.inf) for c in curves()])


def test_the_2x2_is_over_the_tasks_that_all_cells_have() -> None:
    made = [c for c in curves() if (c.recipe, c.task) != (CELLS[1], "two")]
    drawing = two_by_two(made)
    assert drawing
    assert "1 of 2 tasks" in drawing.caption


def test_captions_name_what_is_not_shown() -> None:
    made = [*curves(), NOTHING]
    each, every = by_task(made, "seconds"), over_tasks(made)
    assert each
    assert every
    assert "random on one, seed 0" in each.caption
    assert "Not every task has a figure for: random." in every.caption


def test_a_tuner_that_does_not_say_has_one_grey_part() -> None:
    drawing = where_time_went([curve("metaschedule", "one", 0)])
    assert drawing
    assert "one grey part" in drawing.caption
    told = where_time_went([curve("chameleon", "one", 0)])
    assert told
    assert "grey" not in told.caption


def test_a_round_of_nothing_cannot_be_drawn() -> None:
    space = conv2d_space()
    rows = space.sample(1, np.random.default_rng(0))
    few = Candidates(rows, np.zeros(1), np.zeros(1))
    with pytest.raises(UsageError, match="fewer than 3"):
        cluster_round(History(space), few, AdaptiveSampler(), 16, 0)
