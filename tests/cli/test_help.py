from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest
from click.testing import CliRunner

from chameleon_tuner.app.tune import Options
from chameleon_tuner.bench.compare.comparison import ComparisonOptions
from chameleon_tuner.bench.compare.contest import known_recipes
from chameleon_tuner.bench.compare.suites import PAPER_SUITES
from chameleon_tuner.cli import app, main
from chameleon_tuner.cli.commands import compare as compare_module
from chameleon_tuner.cli.commands import tune as tune_module
from chameleon_tuner.cli.commands import zoo as zoo_module
from chameleon_tuner.measure.replay import POLICIES
from chameleon_tuner.search.recipes import EXPLORERS, RECIPES, SAMPLERS
from chameleon_tuner.search.schedule import EFFORTS
from chameleon_tuner.zoo import NETWORKS

HEAVY = {"numpy", "tvm", "torch", "sklearn", "xgboost", "sqlalchemy", "onnx", "rich"}


@pytest.mark.parametrize(
    "command",
    [
        *("", "tune", "tasks", "run", "profile", "versus", "report", "compare", "zoo", "records"),
        *("records list", "records show", "records export", "records import", "records prune"),
    ],
)
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app.chameleon, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from chameleon_tuner.cli import main\n"
        "commands = ('tune', 'profile', 'compare', 'versus', 'report', 'program tune')\n"
        "for words in (['--help'], *([*c.split(), '--help'] for c in commands), ['--version']):\n"
        "    assert main(words) == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_names_in_help_texts_are_all_that_there_are() -> None:
    assert tune_module.RECIPES.split(", ") == list(RECIPES)
    assert tune_module.EXPLORERS.split(", ") == list(EXPLORERS)
    assert tune_module.SAMPLERS.split(", ") == list(SAMPLERS)
    assert zoo_module.NETWORKS.split(", ") == list(NETWORKS)
    assert compare_module.SUITES.split(", ") == [*PAPER_SUITES, *NETWORKS]
    assert compare_module.RECIPES.split(", ") == list(known_recipes())
    assert compare_module.POLICIES.split(", ") == list(POLICIES)
    numbers = [*map(str, EFFORTS.values())]
    assert [word.strip(",") for word in tune_module.EFFORTS.split() if word[0].isdigit()] == numbers


def test_defaults_in_help_texts_are_those_of_the_library() -> None:
    ours = {parameter.name: parameter.default for parameter in tune_module.tune.params}
    theirs = Options()
    for name in ("effort", "seed", "recipe", "target"):
        assert ours[name] == getattr(theirs, name)


def test_defaults_of_compare_are_those_of_the_library() -> None:
    ours = {parameter.name: parameter.default for parameter in compare_module.compare.params}
    theirs = ComparisonOptions()
    for name in ("seeds", "policy", "target"):
        assert ours[name] == getattr(theirs, name)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert importlib.metadata.version("chameleon-tuner") in capsys.readouterr().out


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "tune" in capsys.readouterr().out
