from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.app import tune as tuner
from chameleon_tuner.app.calibration import (
    LEAST_SLOWNESS,
    MOST_SLOWNESS,
    Calibration,
    finish_secs,
    measured,
    observe,
    start_secs,
)
from chameleon_tuner.app.options import LEAST_SEARCH, Options, parse_size
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.search.schedule import EFFORTS, parse_duration
from chameleon_tuner.system.machine import memory_bytes, usable_cores

DEFAULT = Calibration()


@pytest.mark.parametrize(
    ("text", "kernels", "search_secs"),
    [
        ("10m", 20, 600 - finish_secs(20)),
        ("30s", 20, LEAST_SEARCH * 30),
    ],
)
def test_a_time_budget_leaves_time_to_finish(text: str, kernels: int, search_secs: float) -> None:
    start = start_secs(kernels)
    budget = Options(time_budget=text).budget(kernels, start, DEFAULT)
    assert budget.search_secs == search_secs
    left = max(search_secs - start, LEAST_SEARCH * parse_duration(text))
    assert budget.deadline - time.monotonic() == pytest.approx(left, abs=1.0)


@pytest.mark.parametrize(
    ("options", "trials"),
    [
        (Options(), 3 * EFFORTS["standard"]),
        (Options(time_budget="10m"), 3 * EFFORTS["full"]),
        (Options(time_budget="10m", effort="quick"), 3 * EFFORTS["quick"]),
        (Options(time_budget="10m", trials=7), 7),
    ],
)
def test_a_time_budget_alone_is_not_cut_off_by_the_usual_trials(
    options: Options, trials: int
) -> None:
    assert options.budget(3, 0.0, DEFAULT).trials == trials


@pytest.mark.parametrize("slowness", [0.5, 0.8, 1.0, 1.5, 10.0])
def test_a_machine_that_began_slowly_has_more_time_to_finish(slowness: float) -> None:
    """What is asked for is the same: a run that goes on proposes what it proposed."""
    start, finish = start_secs(20), finish_secs(20)

    budget = Options(time_budget="10m").budget(20, slowness * start, DEFAULT)
    assert budget.search_secs == 600 - finish
    left = 600 - min(max(LEAST_SLOWNESS, slowness), MOST_SLOWNESS) * finish - slowness * start
    assert budget.deadline - time.monotonic() == pytest.approx(left, abs=1.0)


def test_a_long_start_leaves_time_to_search() -> None:
    budget = Options(time_budget="90s").budget(20, 85.0, DEFAULT)
    assert budget.deadline - time.monotonic() == pytest.approx(LEAST_SEARCH * 90, abs=1.0)


def test_as_many_candidates_are_built_together_as_keep_the_cores_busy(
    tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def scheduler(*arguments: Any, **named: Any) -> None:
        given.update(named)
        raise UsageError("enough seen")

    monkeypatch.setattr(tuner, "GradientScheduler", scheduler)
    with pytest.raises(UsageError, match="enough seen"):
        tuner.tune(tiny_onnx, tmp_path / "out")
    assert given == {"together": min(4 * usable_cores(), 64), "defaults": {}}


def test_without_one_only_trials_count() -> None:
    budget = Options(effort="quick").budget(3, 0.0, DEFAULT)
    assert (budget.trials, budget.out_of_time()) == (192, False)


# -- calibration


def test_a_machine_is_what_its_last_runs_took(tmp_path: Path) -> None:
    assert measured("llvm", tmp_path) == DEFAULT
    for finish in (9.0, 0.6, 0.7, 0.6, 0.7, 0.6):  # the first is forgotten
        observe("llvm", 20, 0.7 * start_secs(20), finish * finish_secs(20), tmp_path)
    found = measured("llvm", tmp_path)
    assert (found.start, found.finish) == (pytest.approx(0.7), pytest.approx(0.6))
    assert found.finish_secs(20, 0.7 * start_secs(20)) == pytest.approx(0.6 * finish_secs(20))
    assert found.finish_secs(20, 1.4 * start_secs(20)) == pytest.approx(1.2 * finish_secs(20))
    assert measured("cuda", tmp_path) == DEFAULT


def test_a_tiny_or_a_huge_model_says_little_of_the_machine(tmp_path: Path) -> None:
    observe("llvm", 5, 0.1 * start_secs(5), 9.0 * finish_secs(5), tmp_path)
    assert measured("llvm", tmp_path) == Calibration(0.5, 2.0)


def test_a_user_without_a_home_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    monkeypatch.setattr(Path, "home", homeless)
    observe("llvm", 20, 1.0, 1.0)
    assert measured("llvm") == DEFAULT


def test_what_is_measured_changes_the_deadline_and_not_the_plan(tmp_path: Path) -> None:
    """A run that is resumed has to propose the same, whatever other runs took meanwhile."""
    fast = Calibration(1.0, 0.5)
    options = Options(time_budget="10m")
    usual, sooner = (options.budget(20, start_secs(20), c) for c in (DEFAULT, fast))
    assert usual.search_secs == sooner.search_secs
    assert sooner.deadline - usual.deadline == pytest.approx(0.5 * finish_secs(20), abs=1.0)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"a": [[1]]}', "null"])
def test_a_damaged_calibration_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "calibration.json").write_text(content)
    assert measured("llvm", tmp_path) == DEFAULT
    observe("llvm", 20, start_secs(20), finish_secs(20), tmp_path)
    assert measured("llvm", tmp_path) == DEFAULT


def test_a_calibration_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    observe("llvm", 20, 1.0, 1.0, tmp_path / "file" / "below")
    observe("llvm", 0, 1.0, 1.0, tmp_path)
    assert measured("llvm", tmp_path) == DEFAULT


# -- options


@pytest.mark.parametrize(
    ("text", "size"), [("6G", 6 * 2**30), ("512MiB", 2**29), ("1.5 k", 1536), ("2000000000", 2e9)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "6X", "6GG", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize("size", ["6", "300M"])
def test_a_worker_cannot_do_with_too_little(size: str) -> None:
    with pytest.raises(UsageError, match="1G or more"):
        Options(worker_memory=size).check([])


def test_the_memory_of_a_worker_is_the_users_or_follows_the_machines() -> None:
    assert Options(worker_memory="3G").worker_limits(2).memory_bytes == 3 * 2**30
    assert Options(worker_memory="1G").worker_limits(2).recycle_bytes <= 2**29
    assert Options().worker_limits(1).memory_bytes >= memory_bytes() // 2


def test_an_algorithm_is_left_out_by_its_name_in_either_form() -> None:
    names = ["one", "two"]
    assert tuner.by_name({"seed": 1}, names) == {"seed": 1, "without": ()}
    assert tuner.by_name({"one": False, "two": True}, names) == {"without": ("one",)}
    assert tuner.by_name({"without": ("two",), "one": False}, names) == {"without": ("two", "one")}


def test_an_unknown_algorithm_is_named_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match="unknown algorithm 'twoo'; did you mean 'two'"):
        Options(without=["twoo"]).check(["one", "two"])
