from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from chameleon_tuner.bench.versus.duel import DuelOptions
from chameleon_tuner.bench.versus.runtimes import RUNTIMES, chosen
from chameleon_tuner.cli import app, main
from chameleon_tuner.cli.commands import versus as versus_module
from chameleon_tuner.report.versus import HEADING

Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    def run(*arguments: str | Path) -> str:
        assert main(["versus", *map(str, arguments)]) == 2
        captured = capfd.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        assert captured.err.startswith("error: ")
        return captured.err

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "not negative"),
        (["--rounds", "2"], "at least 3"),
        (["--busy", "-1"], "use 0 or more"),
        (["--runtimes", "onnxruntme"], "did you mean 'onnxruntime'?"),
        (["--runtimes", " , "], "names none; known: onnxruntime"),
    ],
)
def test_a_bad_option(options: list[str], said: str, refused: Refused) -> None:
    assert said in refused("model.onnx", "tuned", *options)


def test_a_missing_model(tmp_path: Path, refused: Refused) -> None:
    said = refused(tmp_path / "missing.onnx", tmp_path)
    assert "no such file; give the path of an ONNX model" in said


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_a_library(
    name: str, tiny_onnx: Path, tmp_path: Path, refused: Refused
) -> None:
    said = refused(tiny_onnx, tmp_path / name)
    assert "holds no tuned library; make one with `chameleon tune`" in said
    assert not any(tmp_path.iterdir())


def test_a_damaged_library(
    tuned_folder: Path, tiny_onnx: Path, tmp_path: Path, refused: Refused
) -> None:
    copy = Path(shutil.copytree(tuned_folder, tmp_path / "copy"))
    (copy / "model.so").write_bytes(b"nothing")
    assert "model.so is damaged (it has 7 bytes and should have " in refused(tiny_onnx, copy)


def test_help() -> None:
    result = CliRunner().invoke(app.chameleon, ["versus", "--help"])
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in result.output.splitlines())
    assert all(name in result.output for name in RUNTIMES)


def test_defaults_are_those_of_the_comparison() -> None:
    ours = {parameter.name: parameter.default for parameter in versus_module.versus.params}
    theirs = DuelOptions()
    assert (ours["rounds"], ours["seed"]) == (theirs.rounds, theirs.seed)
    assert ours["busy"] == theirs.busy


def test_the_command_says_what_differs_from_the_defaults() -> None:
    model, folder = Path("a model.onnx"), Path("tuned")
    shortest = versus_module.command(model, folder, list(RUNTIMES.values()), DuelOptions())
    assert shortest == "chameleon versus 'a model.onnx' tuned"
    other = DuelOptions(rounds=9, seed=2, busy=1)
    longest = versus_module.command(model, folder, chosen(["openvino"]), other)
    assert longest == f"{shortest} --runtimes openvino --rounds 9 --seed 2 --busy 1"


def test_a_tuned_folder_beside_onnxruntime(
    tuned_folder: Path, tiny_onnx: Path, tmp_path: Path
) -> None:
    """To the end; the command's own process loads neither TVM nor a runtime."""
    pytest.importorskip("onnxruntime")
    folder = Path(shutil.copytree(tuned_folder, tmp_path / "tuned"))
    before = (folder / "report.md").read_text()
    words = ["versus", str(tiny_onnx), str(folder), "--runtimes", "onnxruntime", "--rounds", "3"]
    script = (
        "import sys\n"
        "from chameleon_tuner.cli import main\n"
        f"assert main({words}) == 0\n"
        "print(sorted({'tvm', 'torch', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["opening onnxruntime", "timing 3 rounds"]
    *shown, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    assert [line.split()[0] for line in shown[1:4]] == ["runtime", "chameleon", "onnxruntime"]
    found = json.loads((folder / "versus.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (found["model"], found["threads"]) == ("tiny", manifest["threads"])
    assert [runtime["name"] for runtime in found["runtimes"]] == ["chameleon", "onnxruntime"]
    ours, theirs = found["runtimes"]
    assert (ours["error"], ours["ratio"]) == (None, None)
    assert theirs["error"] < 1e-3
    assert theirs["ratio"] == pytest.approx(ours["median_ms"] / theirs["median_ms"])
    assert (found["missing"], found["failed"], found["rounds"]) == ([], [], 3)
    report = (folder / "report.md").read_text()
    assert report.startswith(before.rstrip())
    assert report.count(HEADING) == 1
    assert (folder / "versus.svg").is_file()
    assert (folder / "versus.png").is_file()
