"""The examples are tuned, on machines that have what they need."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chameleon_tuner.app.program.options import ProgramOptions
from chameleon_tuner.app.program.tune import tune_program
from chameleon_tuner.backends.program.handler import HANDLER, MakeReference, ProgramHandler
from chameleon_tuner.backends.program.learned import Places
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.reading import read_spec
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import Compile, Failed, LoadTask, Replay, Run
from chameleon_tuner.ports.measurer import TimingPolicy
from chameleon_tuner.space import configuration_at
from chameleon_tuner.space.plain import to_plain

EXAMPLES = Path(__file__).parents[2] / "examples"
ONE_RUN = TimingPolicy(sample_secs=1e-9, min_samples=1, max_samples=1)


@pytest.fixture(autouse=True)
def _own_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs on this machine do not delay the tests."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def copied(name: str, folder: Path) -> Path:
    """Copy an example, and return its specification."""
    shutil.copytree(EXAMPLES / name, folder / name)
    [spec] = (folder / name).glob("*.toml")
    return spec


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_the_matrix_product_in_cpp(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tune_program(copied("matmul", tmp_path), out, ProgramOptions(trials=8))
    assert result.trials["failed"] == {}  # what is illegal is not tried
    assert result.speedup >= 1
    assert "-DTILE_I=" in result.commands["compile"]
    assert os.access(out / "best" / "matmul", os.X_OK)
    assert json.loads((out / "summary.json").read_text())["program"] == "matmul"


def opencl_runs() -> bool:
    """Whether there is OpenCL with a device; asked in another process, which may crash."""
    if importlib.util.find_spec("pyopencl") is None:
        return False
    code = "import pyopencl as cl; cl.get_platforms()[0].get_devices()[0]"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.fixture
def opencl(tmp_path: Path) -> tuple[ProgramHandler, ProgramProject]:
    if not opencl_runs():
        pytest.skip("there is no pyopencl with a device; install the extra opencl")
    project = ProgramProject(read_spec(copied("opencl", tmp_path)))
    reference = tmp_path / "reference"
    places = Places(str(project.spec.folder), str(tmp_path / "candidates"), run_secs=120.0)
    handler = HANDLER.load()
    for path in ("", str(reference)):
        target = Places(places.folder, places.scratch, path, 120.0)
        task = project.task(target)
        LoadTask(task.key, task.module, dict(task.target), to_plain(task.space)).answered_by(
            handler
        )
        if not path:
            times = MakeReference(task.key, str(reference)).answered_by(handler)
            assert max(times.secs) < min(times.wall_secs)  # the kernel's own time
    return handler, project


def test_the_matrix_product_in_opencl(opencl: tuple[ProgramHandler, ProgramProject]) -> None:
    handler, project = opencl
    default = project.spec.default
    for change in ({"LOCAL": 1, "ITEM_X": 4}, {"GROUP_X": 16, "ITEM_Y": 2}):
        chosen = configuration_at(project.space, {**default, **change})
        ticket = Replay(project.digest, chosen).answered_by(handler).ticket
        Compile(ticket).answered_by(handler)
        timing = Run(ticket, math.inf, ONE_RUN).answered_by(handler)
        assert 0 < min(timing.samples) < 1


def test_a_wrong_kernel_in_opencl_is_found(
    opencl: tuple[ProgramHandler, ProgramProject],
) -> None:
    handler, project = opencl
    kernel = project.spec.folder / "matmul.cl"
    kernel.write_text(kernel.read_text().replace("k < DEPTH;", "k < DEPTH - 1;"))
    ticket = Replay(project.digest, configuration_at(project.space, project.spec.default))
    scheduled = ticket.answered_by(handler)
    Compile(scheduled.ticket).answered_by(handler)
    with pytest.raises(Failed, match="wrong output") as caught:
        Run(scheduled.ticket, math.inf, ONE_RUN).answered_by(handler)
    assert caught.value.status is Status.WRONG_OUTPUT
