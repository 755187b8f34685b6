import os
import subprocess
import sys
from pathlib import Path

import pytest

from chameleon_tuner.bench.compare.processes import Assignment, _environment
from chameleon_tuner.bench.compare.searching import Terms


def environment_of(recipe: str, scratch: Path) -> dict[str, str]:
    terms = Terms("", 0, 1)
    return _environment(Assignment("", "", "", {}, 512, recipe, terms, "", str(scratch), "", 2))


@pytest.mark.parametrize(("recipe", "found"), [("metaschedule", False), ("chameleon", True)])
def test_pytorch_is_hidden_from_metaschedule_alone(
    recipe: str, found: bool, tmp_path: Path
) -> None:
    """In its process and in those that it starts: they inherit the environment."""
    environment = {**os.environ, **environment_of(recipe, tmp_path)}
    done = subprocess.run([sys.executable, "-c", "import torch"], env=environment, check=False)
    assert (done.returncode == 0) is found


FROZEN = """
import inspect
assert inspect.getmodule(inspect).__name__ == "inspect"
inspect.modulesbyfile.clear()
frozen = compile("import inspect; frame = inspect.currentframe()", "<frozen importlib>", "exec")
exec(frozen)
assert inspect.getmodule(frame) is None
print(len(inspect.modulesbyfile))
"""


@pytest.mark.parametrize(("recipe", "eased"), [("metaschedule", True), ("chameleon", False)])
def test_no_module_is_looked_for_where_an_import_is_under_way(
    recipe: str, eased: bool, tmp_path: Path
) -> None:
    environment = {**os.environ, **environment_of(recipe, tmp_path)}
    command = [sys.executable, "-c", FROZEN]
    done = subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (int(done.stdout) == 0) is eased


def test_a_users_python_path_still_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = environment_of("metaschedule", tmp_path)
    assert found["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/somewhere"
