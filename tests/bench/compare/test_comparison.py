"""Whole comparisons: on recordings, and on this machine with a network that is tuned in seconds."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from chameleon_tuner.bench.compare.comparison import Compared, ComparisonOptions, compare
from chameleon_tuner.bench.compare.contest import Run
from chameleon_tuner.bench.compare.neutral import ROUNDS
from chameleon_tuner.bench.recording import Recording, read_recordings, write_recordings
from chameleon_tuner.core.errors import OutputError, UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.ports.runlog import RunLog
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.landscapes import recorded_conv2d

RECIPES = "random,annealing+greedy"


class Listener:
    """A watcher that remembers; interrupts after so many runs."""

    def __init__(self, patience: int = 10**9) -> None:
        self.before = 0
        self.ran: list[str] = []
        self._patience = patience

    def begin(self, done: int, missing: list[Run]) -> None:
        self.before = done

    def run_done(self, run: Run, log: RunLog) -> None:
        self.ran.append(run.name)
        if len(self.ran) == self._patience:
            raise KeyboardInterrupt

    def timing(self, kernels: dict[str, int]) -> None:
        assert all(kernels.values())


def the_recording(name: str = "conv", key: str = "key") -> Recording:
    space, rows, seconds = recorded_conv2d()
    rng = np.random.default_rng(0)
    outcomes = {
        configuration: replayed(configuration, Status.OK, float(secs), float(cost), 0.05)
        for configuration, secs, cost in zip(
            space.configurations(rows), seconds, rng.uniform(0.1, 0.3, len(rows)), strict=True
        )
    }
    task = Task(name, key, "", {"kind": "llvm"}, space, 2, 1e9)
    return Recording(task, tuple(outcomes.values()), "a CPU", 2, {"apache-tvm": "0.27"})


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "data.jsonl.gz"
    write_recordings(path, [the_recording(), the_recording("other", "another")])
    return path


def options(recording: Path, **changes: Any) -> ComparisonOptions:
    given = {"replay": [recording], "recipes": RECIPES, "trials": 80, "seeds": 2, **changes}
    return ComparisonOptions(**given)


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    found.pop("created")
    return found


@pytest.fixture(scope="module")
def replayed_twice(
    recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Compared, dict[str, Any], dict[str, Any]]:
    first, second = (tmp_path_factory.mktemp("compare") / "out" for _ in range(2))
    compared = compare(options(recording), first, Listener())
    with pytest.raises(KeyboardInterrupt):
        compare(options(recording), second, Listener(patience=3))
    assert not (second / "results.json").exists()
    listener = Listener()
    compare(options(recording), second, listener)
    assert listener.before == 3
    assert len(listener.ran) == 5
    return compared, results(first), results(second)


def test_a_replay_interrupted_or_not_gives_the_same_results(
    replayed_twice: tuple[Compared, dict[str, Any], dict[str, Any]],
) -> None:
    _, first, second = replayed_twice
    assert first == second


def test_results_hold_what_was_asked_for(
    replayed_twice: tuple[Compared, dict[str, Any], dict[str, Any]],
) -> None:
    compared, found, _ = replayed_twice
    told = {(c["recipe"], c["task"], c["seed"]) for c in found["curves"]}
    assert told == {
        (r, t, s) for r in RECIPES.split(",") for t in ("conv", "other") for s in (0, 1)
    }
    for curve in found["curves"]:
        points = {len(curve[k]) for k in ("seconds", "measurements", "best_us", "own_us", "steps")}
        assert len(points) == 1
        assert curve["trials"] == 80
        assert curve["final_us"] == curve["best_us"][-1]
        assert curve["best_us"] == pytest.approx(curve["own_us"])  # a replay has no noise
        assert curve["seconds"] == sorted(curve["seconds"])
    assert set(found["merit"]["recipes"]) == set(RECIPES.split(","))
    assert "nearest" in found["facts"]["policy"]
    assert found["versions"]["apache-tvm"]
    assert [task["weight"] for task in found["tasks"]] == [2, 2]
    assert len(compared.curves) == 8


def test_seeds_and_recipes_can_be_added(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(options(recording, recipes="random", seeds=1, tasks=["conv"]), out, Listener())
    more = Listener()
    compare(options(recording, recipes="random,evolutionary", tasks=["conv"]), out, more)
    assert more.before == 1
    assert len(more.ran) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipes": "metaschedule"}, "cannot be replayed"),
        ({"recipes": "nonsense"}, "unknown recipe"),
        ({"tasks": ["third"]}, "1 conv, 2 other"),
        ({"trials": 8}, "less than one batch"),
        ({"trials": None}, "no budget"),
        ({"policy": "guess"}, "unknown policy"),
        ({"reference": "autotvm"}, "does not take part"),
        ({"replay": [Path("missing.jsonl.gz")]}, "missing.jsonl.gz"),
        ({"replay": [], "suite": None}, "--suite"),
        ({"replay": [], "suite": "papre"}, "did you mean 'paper'"),
        ({"suite": "paper-layers"}, "alexnet-1 of paper-layers is not in the replay"),
    ],
)
def test_bad_input_changes_nothing(
    changes: dict[str, Any], said: str, recording: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        compare(options(recording, **changes), tmp_path / "out", Listener())
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_ends_before_the_first_batch_is_told(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too small for one batch of random"):
        compare(options(recording, recipes="random", budget="1s"), tmp_path / "out", Listener())


def test_time_alone_is_a_budget(recording: Path, tmp_path: Path) -> None:
    wanted = options(recording, trials=None, budget="30s", tasks=["conv"], seeds=1)
    compared = compare(wanted, tmp_path / "out", Listener())
    for curve in compared.curves:
        assert curve.trials > 80
        assert curve.total_secs <= 30.0
        assert max(curve.seconds) <= 30.0


def test_a_folder_of_something_else_is_left_alone(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds no comparison"):
        compare(options(recording), tmp_path, Listener())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_other_terms_are_not_mixed_in(recording: Path, tmp_path: Path) -> None:
    small = {"recipes": "random", "seeds": 1, "tasks": ["conv"]}
    compare(options(recording, **small), tmp_path / "out", Listener())
    with pytest.raises(OutputError, match=r"other terms \(trials: 80, not 96\)"):
        compare(options(recording, **small, trials=96), tmp_path / "out", Listener())


# -- on this machine


def on_hardware(model: Path, **changes: Any) -> ComparisonOptions:
    given = {"suite": str(model), "recipes": "chameleon", "trials": 16, "seeds": 1, "tasks": ["1"]}
    return ComparisonOptions(**{**given, **changes})


def test_a_models_task_on_this_machine(tiny_onnx: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compared = compare(on_hardware(tiny_onnx), out, Listener())
    (curve,) = compared.curves
    assert curve.trials == 16
    assert math.isfinite(curve.final_us)
    assert 0 < curve.startup_secs < curve.seconds[0] <= curve.total_secs
    assert curve.spent["build"] > 0
    neutral = json.loads((out / "neutral" / f"{curve.task}.json").read_text())
    assert all(len(samples) == ROUNDS for _, samples in neutral["samples"])

    # What was measured can be replayed, and nothing is run or timed again.
    (recording,) = read_recordings([out / "recording.jsonl.gz"])
    assert len(recording.outcomes) == 16
    again = Listener()
    compare(on_hardware(tiny_onnx), out, again)
    assert again.ran == []

    # Another CPU of the same name does not go on with it.
    terms = json.loads((out / "comparison.json").read_text())
    terms["target"]["mcpu"] = "another"
    (out / "comparison.json").write_text(json.dumps(terms))
    with pytest.raises(OutputError, match=r"other terms \(target: .*'another'"):
        compare(on_hardware(tiny_onnx), out, Listener())


def test_a_failing_run_is_told_and_run_again(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as broken:
        broken.setenv("PYTHONHASHSEED", "no number")  # no Python starts
        (curve,) = compare(on_hardware(tiny_onnx), out, Listener()).curves
    assert curve.error.startswith("ended with 1: ")
    assert math.isinf(curve.final_us)
    again = Listener()
    compared = compare(on_hardware(tiny_onnx), out, again)
    assert len(again.ran) == 1
    assert compared.curves[0].error == ""


def test_a_comparison_that_is_killed_takes_its_run_along(tiny_onnx: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--suite", str(tiny_onnx), "--recipes", "chameleon", "--trials", "4096"]
    command = [sys.executable, "-m", "chameleon_tuner", "compare", *words, "--out", str(out)]
    with subprocess.Popen([*command, "--seeds", "1"], stderr=subprocess.DEVNULL) as process:
        partial: list[Path] = []
        while not partial and process.poll() is None:
            partial = list(out.glob("runs/*.partial"))  # a batch was measured
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) > 1
        os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_the_command_ends_with_tables_and_a_report(
    recording: Path, tmp_path: Path, chameleon: Any
) -> None:
    out = tmp_path / "out"
    words = ["--replay", recording, "--recipes", "2x2", "--trials", "80", "--tasks", "conv"]
    done = chameleon("compare", *words, "--out", out, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "Final latency over that of annealing+greedy" in done.stdout
    assert f"{out}/report.html" in done.stdout
    assert "[4/4]" in done.stderr
    page = (out / "report.html").read_text()
    assert "ppo+adaptive" in page
    drawn = {path.stem for path in (out / "figures").glob("*.svg")}
    assert drawn >= {
        "curves-all",
        "curves-seconds",
        "curves-measurements",
        "two-by-two",
        "clusters",
    }
    assert chameleon("compare", "--out", tmp_path / "none").returncode == 2
