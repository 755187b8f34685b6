"""Ask and tell: legal, distinct, reproducible, resumable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chameleon_tuner
from chameleon_tuner.app.study import Study
from chameleon_tuner.core.errors import RecordsError, UsageError
from chameleon_tuner.search.recipes import RECIPES
from chameleon_tuner.space import Category, parameter_space, powers_of_two

SPACE = {
    "block": [16, 32, 64, 128, 256],
    "unroll": [1, 2, 3, 4, 8],
    "layout": ["row", "column"],
    "pad": [False, True],
}
CONSTRAINTS = ["block * unroll <= 1024", "layout == 'row' or unroll > 1"]


def secs(configuration: dict[str, Any]) -> float:
    """A landscape whose best is block=64, unroll=4, column, not padded: 1 s."""
    block, unroll, layout, pad = configuration.values()
    far = abs(block.bit_length() - 7) + abs(unroll - 4) + 2 * (layout == "row") + pad
    return float(1 + far)


def searched(study: Study, rounds: int, count: int = 8) -> list[dict[str, Any]]:
    asked = []
    for _ in range(rounds):
        for configuration in study.ask(count):
            asked.append(configuration)
            study.tell(configuration, secs(configuration))
    return asked


def test_the_best_is_found() -> None:
    study = Study(SPACE, CONSTRAINTS, seed=0)
    assert study.best is None
    searched(study, 4)
    assert len(study) == 32
    assert study.best is not None
    assert study.best.seconds == 1
    assert study.best.configuration == {"block": 64, "unroll": 4, "layout": "column", "pad": False}


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(sorted(RECIPES)), st.integers(1, 5))
def test_what_is_asked_is_legal_and_new(seed: int, recipe: str, count: int) -> None:
    study = Study(SPACE, CONSTRAINTS, seed=seed, recipe=recipe)
    asked = searched(study, 3, count)
    assert len(asked) == 3 * count
    assert len({json.dumps(one) for one in asked}) == len(asked)
    for one in asked:
        assert one["block"] * one["unroll"] <= 1024
        assert one["layout"] == "row" or one["unroll"] > 1


def test_what_was_asked_is_not_asked_again_before_it_is_told() -> None:
    study = Study(SPACE, CONSTRAINTS)
    waiting = [one for _ in range(10) for one in study.ask(3)]
    assert len({json.dumps(one) for one in waiting}) == 30
    study.tell(waiting[0], 3.0)
    assert not any(one in waiting for one in study.ask(30))


def test_a_space_is_used_up() -> None:
    study = Study({"a": [1, 2, 3], "b": [1, 2]}, ["a >= b"])
    asked = study.ask(100)
    assert len(asked) == 5
    assert study.ask() == []
    for one in asked:
        study.tell(one, 1.0)
    assert study.ask() == []


def test_values_come_back_as_they_were_given() -> None:
    study = Study({"n": [1, 2.5], "t": ["a", "b"], "b": [True, False]})
    kinds = {name: {type(one[name]) for one in study.ask(8)} for name in ("n",)}
    assert kinds == {"n": {int, float}}
    knobs = Study(parameter_space({"p": powers_of_two(1, 4), "c": Category((1, 2))}))
    assert {one["p"] for one in knobs.ask(6)} == {1, 2, 4}


# -- failures


def test_failures_are_told_and_never_best() -> None:
    study = Study(SPACE, CONSTRAINTS)
    first, second, third = study.ask(3)
    study.tell(first, "does not compile")
    study.tell(second, ValueError("wrong\noutput"))
    assert study.best is None
    study.tell(third, [3.0, 5.0, 4.0])
    assert study.best is not None
    assert study.best.seconds == 4.0
    assert not any(one in (first, second, third) for one in study.ask(20))


@pytest.mark.parametrize("result", [0, -1.0, float("nan"), float("inf"), [], [1.0, 0.0], None, {}])
def test_results_that_are_none(result: Any) -> None:
    study = Study(SPACE, CONSTRAINTS)
    [one] = study.ask()
    with pytest.raises(UsageError, match="tell positive seconds"):
        study.tell(one, result)
    assert len(study) == 0


@pytest.mark.parametrize(
    ("configuration", "says"),
    [
        ({"block": 16}, "have no value"),
        ({"block": 16, "unroll": 5, "layout": "row", "pad": True}, "unroll has no value 5"),
        ({"block": 16, "unrol": 1, "layout": "row", "pad": True}, "did you mean 'unroll'"),
        ({"block": 256, "unroll": 8, "layout": "row", "pad": True}, "breaks a constraint"),
    ],
)
def test_configurations_that_are_none(configuration: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Study(SPACE, CONSTRAINTS).tell(configuration, 1.0)


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        (({},), {}, "there are no parameters"),
        (({"a": []},), {}, "a has no value"),
        (({"a": 3},), {}, "no list"),
        (({"a": [1]}, ["b > 1"]), {}, "b"),
        (({"a": [1]}, ["a > 1"]), {}, "no combination"),
        (({"a": [1]},), {"seed": -1}, "not negative"),
        (({"a": [1]},), {"recipe": "chamelion"}, "did you mean 'chameleon'"),
        ((parameter_space({"a": [1]}), ["a > 0"]), {}, "parameter_space"),
    ],
)
def test_studies_that_are_none(arguments: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Study(*arguments, **options)


def test_asking_for_nothing() -> None:
    with pytest.raises(UsageError, match="at least one"):
        Study(SPACE).ask(0)


# -- reproduced and resumed


SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_study import CONSTRAINTS, SPACE, Study, searched
print(json.dumps(searched(Study(SPACE, CONSTRAINTS, seed=7), 4)))
"""


def test_another_process_asks_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == searched(Study(SPACE, CONSTRAINTS, seed=7), 4)
    assert json.loads(done.stdout) != searched(Study(SPACE, CONSTRAINTS, seed=8), 4)


@pytest.mark.parametrize("recipe", ["chameleon", "autotvm", "chameleon-paper"])
def test_a_study_goes_on_from_its_store(tmp_path: Path, recipe: str) -> None:
    whole = searched(Study(SPACE, CONSTRAINTS, seed=3, recipe=recipe), 6)
    asked = []
    for _ in range(3):
        options: dict[str, Any] = {"seed": 3, "recipe": recipe, "store": tmp_path / "study.db"}
        with Study(SPACE, CONSTRAINTS, **options) as study:
            assert len(study) == len(asked)
            asked += searched(study, 2)
            best = study.best
    assert asked == whole
    with Study(SPACE, CONSTRAINTS, store=tmp_path / "study.db") as study:  # another seed
        assert study.best == best  # and what was told is known


def test_what_was_asked_and_not_told_is_asked_again(tmp_path: Path) -> None:
    with Study(SPACE, CONSTRAINTS, store=tmp_path / "study.db") as study:
        searched(study, 1)
        lost = study.ask(5)
    with Study(SPACE, CONSTRAINTS, store=tmp_path / "study.db") as study:
        assert study.ask(5) == lost


def test_the_first_result_counts(tmp_path: Path) -> None:
    for store in (None, tmp_path / "study.db"):
        with Study(SPACE, CONSTRAINTS, store=store) as study:
            [one] = study.ask()
            for result in (2.0, 1.0, "failed"):
                study.tell(one, result)
            assert study.best is not None
            assert (len(study), study.best.seconds) == (1, 2.0)
    with Study(SPACE, CONSTRAINTS, store=tmp_path / "study.db") as study:
        assert study.best is not None
        assert study.best.seconds == 2.0


def test_studies_of_several_spaces_share_a_store(tmp_path: Path) -> None:
    with Study(SPACE, store=tmp_path / "study.db") as study:
        searched(study, 1)
    with Study({"a": [1, 2]}, store=tmp_path / "study.db") as other:
        assert len(other) == 0
    with Study(SPACE, store=tmp_path / "study.db") as study:
        assert len(study) == 8


def test_a_store_that_is_in_use_or_is_none(tmp_path: Path) -> None:
    with Study(SPACE, store=tmp_path / "study.db"), pytest.raises(RecordsError, match="in use"):
        Study(SPACE, store=tmp_path / "study.db")
    (tmp_path / "text").write_text("a" * 1000)
    with pytest.raises(RecordsError, match="is not a records file"):
        Study(SPACE, store=tmp_path / "text")


def test_the_package_brings_it_and_stays_light() -> None:
    assert chameleon_tuner.Study is Study
    script = (
        "import sys, chameleon_tuner\n"
        "assert 'numpy' not in sys.modules\n"
        "chameleon_tuner.Study\n"
        "print(*sorted({'tvm', 'torch', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
