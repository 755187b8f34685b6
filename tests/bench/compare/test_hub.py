"""A comparison on files in the FAIR formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chameleon_tuner.bench.compare.comparison import ComparisonOptions, compare
from chameleon_tuner.bench.compare.contest import Run
from chameleon_tuner.bench.fair.reading import read_fair
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.ports.runlog import RunLog
from chameleon_tuner.report.compare.page import write_comparison

ASSETS = Path(__file__).parents[1] / "fair" / "assets"


class Silent:
    def begin(self, done: int, missing: list[Run]) -> None: ...

    def run_done(self, run: Run, log: RunLog) -> None: ...

    def timing(self, kernels: dict[str, int]) -> None: ...


@pytest.mark.parametrize("name", ["blur_T4.json.gz", "blur_cache.json"])
def test_recipes_are_scored_on_a_foreign_file(tmp_path: Path, name: str) -> None:
    options = ComparisonOptions(
        recipes="chameleon,random:64,annealing+adaptive:64",
        replay=[ASSETS / name],
        trials=48,
        seeds=2,
        t4=True,
    )
    compared = compare(options, tmp_path, Silent())
    found = compared.scores
    assert list(found) == ["chameleon", "random:64", "annealing+adaptive:64"]
    task = found["chameleon"].tasks["blur"]
    assert task.budget == min(task.cutoff, 48)
    assert found["chameleon"].score.value > 0
    written = json.loads((tmp_path / "results.json").read_text())["scores"]["chameleon"]
    assert written["tasks"]["blur"]["score"] == pytest.approx(task.score)
    lines = write_comparison(compared)
    assert any("1 finds the optimum" in line or "score" in line for line in lines)
    assert "Score where every configuration is recorded" in (tmp_path / "report.html").read_text()
    runs = sorted(path.name for path in (tmp_path / "t4").iterdir())
    assert len(runs) == 6
    log = next(log for log in compared.logs if log.recipe == "chameleon" and log.seed == 0)
    again = read_fair(tmp_path / "t4" / "blur.chameleon.0.json.gz")
    ran = [trial for trial in log.trials if trial.own_secs < float("inf")]
    assert min(o.seconds for o in again.outcomes) == pytest.approx(min(t.own_secs for t in ran))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    options = ComparisonOptions(
        recipes="random", replay=[ASSETS / "blur_T4.json.gz", ASSETS / "blur_cache.json"], trials=64
    )
    with pytest.raises(UsageError, match="blur is there twice"):
        compare(options, tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


def test_an_input_without_measurements_is_refused(tmp_path: Path) -> None:
    options = ComparisonOptions(recipes="random", replay=[ASSETS / "blur_T1.json"], trials=64)
    with pytest.raises(UsageError, match="has no measurements"):
        compare(options, tmp_path / "out", Silent())
