"""An exported model: its files, and a C++ program that runs it without Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner import Session
from chameleon_tuner.backends.tvm.deploy.exporting import export_model
from chameleon_tuner.backends.tvm.deploy.manifest import Manifest
from chameleon_tuner.backends.tvm.features import cpu_flag
from chameleon_tuner.cli import main
from chameleon_tuner.core.errors import LibraryError

SHAPE = (1, 3, 64, 64)


@pytest.fixture(scope="module")
def exported(tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "a model"
    export_model(tuned_folder, folder, cpp=True)
    return folder


@pytest.fixture(scope="module")
def program(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(exported, tmp_path_factory.mktemp("build"))


def built(exported: Path, build: Path) -> Path:
    """Build the example from nothing but an exported folder."""
    runtime = sorted((exported / "lib").glob("libtvm_*.so"))
    command = ["c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", exported / "include"]
    command += [exported / "example.cc", "-o", build / "example", "-Wl,--no-as-needed"]
    command += [*runtime, f"-Wl,-rpath,{exported / 'lib'}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return build / "example"


def ran(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program where there is neither Python nor an environment."""
    command = [str(program), *map(str, arguments)]
    return subprocess.run(
        command, env={"PATH": "/nowhere"}, cwd=program.parent, capture_output=True, text=True
    )


def test_a_cpp_program_computes_what_a_session_does(
    exported: Path, program: Path, tuned_folder: Path
) -> None:
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    x.tofile(program.parent / "x.bin")
    [expected] = Session(tuned_folder).run(None, {"input": x})
    done = ran(program, exported, program.parent / "x.bin")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"output: {expected.nbytes} bytes\n")
    assert done.stdout.endswith("ms a call\n")
    found = np.fromfile(program.parent / "output0.bin", np.float32).reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)


def test_without_files_the_inputs_are_zeros(
    exported: Path, program: Path, tuned_folder: Path
) -> None:
    [expected] = Session(tuned_folder).run(None, {"input": np.zeros(SHAPE, np.float32)})
    assert ran(program, exported).returncode == 0
    np.testing.assert_array_equal(
        np.fromfile(program.parent / "output0.bin", np.float32), expected.ravel()
    )


def test_what_is_wrong_is_one_line(exported: Path, program: Path, tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(8))
    shutil.copytree(exported, tmp_path / "half")
    weights = tmp_path / "half" / "model.weights"
    os.truncate(weights, weights.stat().st_size // 2)
    shutil.copytree(exported, tmp_path / "none")
    (tmp_path / "none" / "model.weights").unlink()
    for arguments, said in (
        ([], "usage: example FOLDER"),
        ([exported, tmp_path / "short.bin"], "short.bin is too short"),
        ([tmp_path / "half"], "model.weights is damaged"),
        ([tmp_path / "none"], "cannot open"),
    ):
        done = ran(program, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_another_cpu_is_told(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(exported, folder)
    header = folder / "include" / "model.h"
    needed = json.loads((exported / "model.json").read_text())["required_features"]
    flag = f'"{cpu_flag(needed[0])}"'
    assert flag in header.read_text()
    header.write_text(header.read_text().replace(flag, '"avx4096"'))
    done = ran(built(folder, tmp_path), exported)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "this CPU lacks avx4096, which the code was built for\n"


def test_the_files_say_all_that_is_needed(exported: Path, tuned_folder: Path) -> None:
    about = json.loads((exported / "model.json").read_text())
    manifest = Manifest.read(tuned_folder)
    assert about["inputs"] == [{"name": "input", "dtype": "float32", "shape": [1, 3, 64, 64]}]
    assert about["outputs"] == [{"name": "output", "dtype": "float32", "shape": [1, 10]}]
    assert about["required_features"] == list(manifest.required_features)
    content = (exported / "model.weights").read_bytes()
    end = 0
    for weight in about["weights"]:
        assert weight["offset"] % 64 == 0
        assert end <= weight["offset"] < end + 64
        end = weight["offset"] + int(np.prod(weight["shape"])) * np.dtype(weight["dtype"]).itemsize
    assert end == len(content)
    others = [path for path in exported.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in others) - len(content) < 15e6


def test_cmake_builds_the_example(exported: Path, tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    for command in (["-S", exported, "-B", tmp_path], ["--build", tmp_path]):
        done = subprocess.run(["cmake", *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert ran(tmp_path / "example", exported).returncode == 0


def test_the_command(tuned_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tuned_folder), "--out", str(tmp_path / "plain")]) == 0
    assert "MB, and the weights" in capfd.readouterr().out
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert names == {"lib", "model.json", "model.weights"}
    before = sorted(tmp_path.rglob("*"))
    for folder, out, said in (
        (tuned_folder, tmp_path / "plain", "is not empty; give --out a new folder"),
        (tmp_path / "plain", tmp_path / "other", "holds no tuned library"),
        (tmp_path / "nowhere", tmp_path / "other", "holds no tuned library"),
    ):
        assert main(["export", str(folder), "--out", str(out)]) == 2
        assert said in capfd.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def changed(folder: Path, to: Path, **manifest: Any) -> Path:
    """Copy a folder with other values in its manifest."""
    shutil.copytree(folder, to)
    data = json.loads((to / "manifest.json").read_text())
    (to / "manifest.json").write_text(json.dumps({**data, **manifest}))
    return to


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"compiled": False}, "onnxruntime runs the model, because nothing faster was found"),
        (
            {"parts": [{"name": "p", "file": "f", "operators": ["Loop"], "static": True}]},
            r"onnxruntime runs a part of the model \(Loop\)",
        ),
        ({"variants": ["model.so", "model-1.so"]}, "it holds several shapes"),
        ({"target": {"kind": "cuda"}}, "only libraries for CPUs"),
    ],
)
def test_what_cannot_be_exported_says_why(
    manifest: dict[str, Any],
    said: str,
    tuned_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Manifest, "verify", lambda *_: None)  # of files that are not there
    folder = changed(tuned_folder, tmp_path / "folder", **manifest)
    with pytest.raises(LibraryError, match=said):
        export_model(folder, tmp_path / "out", cpp=False)
    assert not (tmp_path / "out").exists()
