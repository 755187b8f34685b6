"""Programs are tuned: the winner is right and faster, or the default configuration stays."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.app.program.options import ProgramOptions
from chameleon_tuner.app.program.tune import tune_program
from chameleon_tuner.core.errors import (
    NothingMeasuredError,
    OutputError,
    ProgramError,
    UsageError,
)
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.records import RecordStore
from chameleon_tuner.report.program import ProgramLines, ProgramResult, closing_lines
from chameleon_tuner.system.clock import Stopwatch

Toy = Callable[..., Path]


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs on this machine do not delay the tests, and finals are short."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("chameleon_tuner.app.program.tune.ROUND_SECS", 0.0)


def tuned(spec: Path, out: Path, **options: Any) -> ProgramResult:
    return tune_program(spec, out, ProgramOptions(**{"trials": 40, **options}))


def recorded(folder: Path) -> list[tuple[str, Status, tuple[float, ...]]]:
    """Every outcome in the records, in the order of measuring."""
    with RecordStore.open(folder / "records.db") as store:
        [workload], environments = store.workloads(), store.environments()
        return [
            (outcome.identity, outcome.status, outcome.samples)
            for environment in environments
            for outcome in store.outcomes(workload, environment)
        ]


def without_faults(toy: Toy) -> Path:
    """Write the program without the modes that fail."""
    return toy(toy().read_text().replace(', "wrong", "crash", "exit", "broken"', ""))


def runs(spec: Path) -> list[str]:
    """The runs of the program so far, those that crashed apart."""
    return (spec.parent / "runs.txt").read_text().splitlines()


def test_the_fastest_right_configuration_wins(toy: Toy, tmp_path: Path) -> None:
    spec, out = toy(), tmp_path / "out"
    result = tuned(spec, out, trials=70)
    assert result.best.parameters == {"zeta": 3, "alpha": 2, "mode": "right"}
    assert result.best.seconds == 0.001
    assert result.speedup == pytest.approx(14)
    assert result.space == 6 * 4 * 5
    failed = result.trials["failed"]
    assert set(failed) == {"wrong_output", "crashed", "run_error", "build_error"}
    assert (
        result.trials["attempted"]
        == sum(failed.values()) + result.trials["measured"] + (result.trials["censored"])
    )
    left = {path.name for path in out.iterdir()} - {"records.db-wal", "records.db-shm"}
    assert left == {
        *("best", "records.db", "records.db.lock", "reference", "report.md", "summary.json")
    }
    assert (out / "best" / "program").read_text() == "right"
    said = subprocess.run(
        ["sh", "-c", result.commands["run"]], cwd=spec.parent, capture_output=True, text=True
    )
    assert said.stdout == "sum 42\nseconds: 0.001\n"


def test_what_is_written(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tuned(toy(), out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["best"]["parameters"] == dict(result.best.parameters)
    assert summary["speedup"] == result.speedup
    assert summary["commands"] == dict(result.commands)
    report = (out / "report.md").read_text()
    for line in (*result.commands.values(), "| zeta", "winner", "## Search"):
        assert line in report or line == result.commands["compile"]
    assert any("stdout of every run is that of the default" in s for s in closing_lines(result, 0))


def test_the_same_command_again_measures_nothing_twice(toy: Toy, tmp_path: Path) -> None:
    spec, out = toy(), tmp_path / "out"
    first = tuned(spec, out)
    before = recorded(out)
    count = len(runs(spec))
    second = tuned(spec, out)
    assert recorded(out) == before
    assert second.trials == first.trials
    assert second.best.parameters == first.best.parameters
    finals = len(runs(spec)) - count
    assert finals <= (4 + 1) * (7 + 1) + 1  # the final comparison alone


def test_a_run_is_continued_as_if_it_had_not_been_interrupted(toy: Toy, tmp_path: Path) -> None:
    spec = toy()
    tuned(spec, tmp_path / "whole", trials=48)
    tuned(spec, tmp_path / "parts", trials=16)
    shutil.rmtree(tmp_path / "parts" / "best")
    (tmp_path / "parts" / "candidates" / "left").mkdir(parents=True)  # as after kill -9
    tuned(spec, tmp_path / "parts", trials=48)
    assert recorded(tmp_path / "parts") == recorded(tmp_path / "whole")
    assert not (tmp_path / "parts" / "candidates").exists()


def test_a_result_beside_the_sources_is_none_of_them(toy: Toy) -> None:
    spec = toy('inputs = ["**/*.[pjm]*"]\n' + without_faults(toy).read_text())
    first = tuned(spec, spec.parent / "out", trials=4)
    second = tuned(spec, spec.parent / "out", trials=8)
    assert (first.trials["attempted"], second.trials["attempted"]) == (4, 8)


def test_the_default_stays_where_nothing_is_faster(toy: Toy, tmp_path: Path) -> None:
    spec = toy(toy().read_text() + "[default]\nzeta = 3\nalpha = 2\n")
    result = tuned(spec, tmp_path / "out")
    assert result.winner is None
    assert result.best.parameters == {"zeta": 3, "alpha": 2, "mode": "right"}
    assert result.speedup == 1
    assert "faster in 0 of 7 rounds" in result.reason or "no candidate" in result.reason
    assert (tmp_path / "out" / "best" / "program").exists()
    assert "which stays" in closing_lines(result, 0)[0]


def test_constraints_are_kept(toy: Toy, tmp_path: Path) -> None:
    spec = toy('constraints = ["mode == \'right\'", "zeta + alpha <= 3"]\n' + toy().read_text())
    result = tuned(spec, tmp_path / "out")
    assert result.space == 10
    assert result.trials["attempted"] == 10  # all that are legal
    assert result.trials["failed"] == {}
    assert sum(result.best.parameters[name] for name in ("zeta", "alpha")) <= 3


def test_a_time_budget(toy: Toy, tmp_path: Path) -> None:
    clock = Stopwatch()
    spec = without_faults(toy)
    options = ProgramOptions(time_budget="6s")
    result = tune_program(spec, tmp_path / "out", options, clock=clock)
    assert result.trials["attempted"] >= 1
    assert clock.total() < 60  # the machine may be busy


def test_what_is_shown(toy: Toy, tmp_path: Path) -> None:
    stream, clock = StringIO(), Stopwatch()
    shown = ProgramLines(stream, clock)
    tune_program(toy(), tmp_path / "out", ProgramOptions(trials=16), shown, clock)
    assert "running the default configuration twice" in stream.getvalue()
    assert "120 configurations, at most 16 trials" in stream.getvalue()
    assert "16/16 trials" in stream.getvalue()
    assert "mode=right" in stream.getvalue()


# -- what cannot be tuned


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[time]", '[default]\nmode = "crash"\n[time]'), "fails: run: SIGSEGV"),
        (("[time]", '[default]\nmode = "broken"\n[time]'), "error: expected"),
        (("seconds: (", "minutes: ("), "matches time.pattern"),
        (("program.py {", "no.py {"), "can't open file"),
    ],
)
def test_a_default_that_fails_changes_nothing(
    toy: Toy, tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    spec = toy(toy().read_text().replace(*change))
    with pytest.raises(ProgramError, match=says) as caught:
        tuned(spec, tmp_path / "out")
    assert "the default configuration (zeta=0 alpha=0" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"trials": 0}, "at least one"),
        ({"seed": -1}, "not negative"),
        ({"time_budget": "soon"}, "not a duration"),
        ({"recipe": "chamelon"}, "did you mean 'chameleon'"),
    ],
)
def test_options_that_are_none(
    toy: Toy, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        tuned(toy(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_left_alone(toy: Toy, tmp_path: Path) -> None:
    spec, mine = without_faults(toy), tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    (tmp_path / "file").write_text("")
    tuned(spec, tmp_path / "out", trials=4)
    spec.write_text(spec.read_text().replace("[0, 1, 2, 3]", "[0, 1, 2]"))
    for out, says in (
        (mine, "holds no run"),
        (tmp_path / "file", "is a file"),
        (tmp_path / "out", "another program"),
    ):
        with pytest.raises(OutputError, match=says):
            tuned(spec, out)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_a_changed_file_is_another_program(toy: Toy, tmp_path: Path) -> None:
    spec = without_faults(toy)
    tuned(spec, tmp_path / "out", trials=4)
    with (spec.parent / "program.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(OutputError, match="before a file was changed"):
        tuned(spec, tmp_path / "out", trials=4)


def test_nothing_that_runs(toy: Toy, tmp_path: Path) -> None:
    path = toy(  # from the third run on it fails
        "run = '''sh -c \"echo x >> n; test $(wc -l < n) -gt 2 && exit 7; echo 5\" {a}'''\n"
        "[parameters]\na = [1, 2]\n"
    )
    with pytest.raises(NothingMeasuredError, match=r"none of 2 candidates .* run: exit 7"):
        tuned(path, tmp_path / "out")


def test_memory_is_limited(toy: Toy, tmp_path: Path) -> None:
    text = toy().read_text().replace('"broken"]', '"memory"]') + '[limits]\nmemory = "256M"\n'
    program = (tmp_path / "toy" / "program.py").read_text().replace("2**40", "2**29")
    spec = toy(text)
    (spec.parent / "program.py").write_text(program)
    result = tuned(spec, tmp_path / "out", trials=60)
    assert result.trials["failed"]["out_of_memory"] > 0
