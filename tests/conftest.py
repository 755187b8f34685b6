from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

from chameleon_tuner.testing.made import tiny_network

TRIALS = 24

# A shell starts what it puts into the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

Chameleon = Callable[..., "subprocess.CompletedProcess[str]"]

DEPLOYING = """\
import sys

from chameleon_tuner.app import deploy
from chameleon_tuner.cli import main

deploy._faster = lambda comparison: True
sys.exit(main(sys.argv[1:]))
"""
"""The command for a run of few trials whose tuned model is deployed, also where it is slower."""


@dataclass(frozen=True)
class TunedRun:
    """What `chameleon tune tiny.onnx --trials 24` left."""

    model: Path
    folder: Path
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that is tuned in seconds."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(tiny_network(), path)
    return path


@pytest.fixture(scope="session")
def chameleon() -> Chameleon:
    """Run the command in a process of its own; see `DEPLOYING`."""

    def run(
        *arguments: str | Path, deploying: bool = False, **options: object
    ) -> subprocess.CompletedProcess[str]:
        program = ["-c", DEPLOYING] if deploying else ["-m", "chameleon_tuner"]
        command = [sys.executable, *program, *map(str, arguments)]
        given: dict[str, object] = {"capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(command, **given)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def tuned_run(
    tiny_onnx: Path, chameleon: Chameleon, tmp_path_factory: pytest.TempPathFactory
) -> TunedRun:
    """A real run, shared by all tests: nobody writes into its folder."""
    folder = tmp_path_factory.mktemp("tuned") / "folder"
    command = ("tune", tiny_onnx, "--out", folder, "--trials", str(TRIALS))
    done = chameleon(*command, deploying=True)
    assert done.returncode == 0, done.stderr
    return TunedRun(tiny_onnx, folder, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def tuned_folder(tuned_run: TunedRun) -> Path:
    """The folder of `tuned_run`."""
    return tuned_run.folder


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Path]:
    """Copy a program with parameters, and return the path of its specification."""

    def written(specification: str = "") -> Path:
        folder = tmp_path / "toy"
        shutil.copytree(Path(__file__).parent / "toy_program", folder, dirs_exist_ok=True)
        if specification:
            (folder / "toy.toml").write_text(specification)
        return folder / "toy.toml"

    return written


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither use nor change what runs of the user have measured of this machine.

    Nor do they use what other tests have measured, unless they say so.
    """
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))
    os.environ["CHAMELEON_STORE"] = ""


@pytest.fixture(autouse=True, scope="session")
def _no_colours() -> None:
    """What is printed does not depend on where the tests run."""
    for name in ("FORCE_COLOR", "CHAMELEON_DEBUG", "COLUMNS", "LINES"):
        os.environ.pop(name, None)
