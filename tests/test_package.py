"""The wheel and the sdist: what is in them, and the wheel in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

BUILD = """
import sys
from setuptools import build_meta
out = sys.argv[1]  # which setuptools replaces
print(build_meta.build_sdist(out), build_meta.build_wheel(out))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The distributions, built from what git would take along."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("src", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, tree], check=True)
    for folder in (*tree.rglob("*.egg-info"), *tree.rglob("__pycache__")):
        subprocess.run(["rm", "-r", folder], check=True)
    command = [sys.executable, "-W", "ignore", "-c", BUILD, out]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sdist, wheel = done.stdout.splitlines()[-1].split()
    return {"sdist": out / sdist, "wheel": out / wheel}


def test_both_have_all_files(built: Mapping[str, Path]) -> None:
    """Also those that are no Python."""
    package = ROOT / "src" / "chameleon_tuner"
    wanted = {
        str(path.relative_to(ROOT / "src"))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built["wheel"]) as wheel:
        assert wanted <= set(wheel.namelist())
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/src/")[2] for name in sdist.getnames()}
    assert wanted <= names


@pytest.fixture(scope="module")
def environment(built: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    shutil.unpack_archive(built["wheel"], site, "zip")  # which is how a wheel is installed
    # A folder that is named in such a file has no say in further ones: this project's own is not
    # found through it.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


def ran(python: Path, *arguments: str, **environment: str) -> str:
    command = [str(python), *arguments]
    variables = {**os.environ, **environment}
    done = subprocess.run(command, env=variables, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_is_what_runs(environment: Path, tmp_path: Path) -> None:
    where = ran(environment, "-c", "import chameleon_tuner; print(chameleon_tuner.__file__)")
    assert Path(where.strip()).is_relative_to(environment.parents[1])
    model = tmp_path / "model.onnx"
    ran(environment, "-m", "chameleon_tuner", "zoo", "resnet18", "--out", str(model))
    assert "conv2d" in ran(environment, "-m", "chameleon_tuner", "tasks", str(model))
    backends = "import torch._dynamo as d; print('chameleon' in d.list_backends())"
    assert ran(environment, "-c", backends) == "True\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell: str) -> None:
    command = Path(sys.executable).with_name("chameleon")
    script = ran(command, _CHAMELEON_COMPLETE=f"{shell}_source")
    assert "_CHAMELEON_COMPLETE" in script
    asked = {"COMP_WORDS": "chameleon tu", "COMP_CWORD": "tu" if shell == "fish" else "1"}
    words = ran(command, _CHAMELEON_COMPLETE=f"{shell}_complete", **asked)
    assert "tune" in words


def test_the_version_is_the_same_everywhere() -> None:
    from importlib import metadata

    version = metadata.version("chameleon-tuner")
    assert f'\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version} - " in (ROOT / "CHANGELOG.md").read_text()
