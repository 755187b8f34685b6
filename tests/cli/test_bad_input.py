"""Whatever a user gets wrong: one line that says what to do, exit 2, nothing changed on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from chameleon_tuner.cli import main
from chameleon_tuner.testing.made import open_batch, tiny_network, unknown_operator

ASSETS = Path(__file__).parents[1] / "records" / "assets"


def contents(folder: Path) -> Mapping[str, str]:
    """Every file below a folder, with a hash of its bytes; folders by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Run a command line in `tmp_path` that is refused; its one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 2) -> str:
        before = contents(tmp_path)
        assert main(arguments) == code
        captured = capfd.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert contents(tmp_path) == before
        return captured.err

    return run


@pytest.fixture
def tiny(tmp_path: Path, tiny_onnx: Path) -> str:
    """A model in `tmp_path`."""
    shutil.copy(tiny_onnx, tmp_path / "tiny.onnx")
    return "tiny.onnx"


# -- models


def truncated(path: Path) -> None:
    path.write_bytes(tiny_network().SerializeToString()[:-2000])


def not_onnx(path: Path) -> None:
    path.write_text("def model(x):\n    return x\n")


def empty(path: Path) -> None:
    path.touch()


def a_folder(path: Path) -> None:
    path.mkdir()


def a_grizzly(path: Path) -> None:
    onnx.save(unknown_operator("Grizzly"), path)


def no_batch(path: Path) -> None:
    onnx.save(open_batch(), path)


MODELS: Mapping[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "no such file"),
    "truncated": (truncated, "truncated"),
    "not ONNX": (not_onnx, "not an ONNX model"),
    "empty": (empty, "not an ONNX model"),
    "a folder": (a_folder, "no such file"),
    "an unknown operator": (a_grizzly, "Grizzly"),
    "an open dimension": (no_batch, "dimension 0 (batch) has no fixed size; give one"),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("command", [["tune", "--out", "out"], ["tasks"]], ids=lambda c: c[0])
def test_a_bad_model(
    kind: str, command: list[str], tmp_path: Path, refused: Callable[..., str]
) -> None:
    make, said = MODELS[kind]
    make(tmp_path / "model.onnx")
    assert said in refused(*command, "model.onnx")


# -- names and numbers


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recipe", "camelion"], "did you mean 'chameleon'?"),
        (["--explorer", "anealing"], "did you mean 'annealing'?"),
        (["--sampler", "greddy"], "did you mean 'greedy'?"),
        (["--effort", "quik"], "instant, quick, standard, full"),
        (["--trials", "0"], "at least one"),
        (["--seed", "-1"], "not negative"),
        (["--time-budget", "soon"], "write 90s, 10m or 1h30m"),
        (["--time-budget", "0m"], "is not a duration"),
        (["--target", "lvm"], "unknown target 'lvm'"),
        (["--target", "llvm -mcpu=znver44"], "did you mean znver4"),
        (["--shape", "input"], "write it as input=1,3,224,224"),
        (["--shape", "input=1,x"], "write it as input=1,3,224,224"),
        (["--shape", "input=1,0,3,3"], "at least 1"),
        (["--shape", "input=1,3,64,64", "--shape", "input=1,3,64,64"], "given twice"),
        (["--inputs", "missing.npz"], "missing.npz: no such file"),
        (["--shape", "inptu=1,3,64,64"], "no input 'inptu'"),
        (["--shape", "input=1,3,64,63"], "does not fit"),
        (["--shape", "input=1,3,64"], "does not fit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option(
    options: list[str], said: str, tiny: str, refused: Callable[..., str]
) -> None:
    assert said in refused("tune", tiny, "--out", "out", *options)


def test_a_gpu_that_is_not_there(tiny: str, refused: Callable[..., str]) -> None:
    import tvm

    if tvm.cuda(0).exist:
        pytest.skip("there is a GPU")
    assert "no CUDA device" in refused("tune", tiny, "--out", "out", "--target", "cuda")


# -- output folders


def test_a_file_in_place_of_a_folder(
    tiny: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert "out is a file; give --out a folder" in refused("tune", tiny, "--out", "out")


def test_a_folder_of_somebody_else(tiny: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    assert "not empty and holds no run" in refused("tune", tiny, "--out", "out")


def test_the_run_of_another_model(
    tuned_folder: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    shutil.copytree(tuned_folder, tmp_path / "out")
    onnx.save(tiny_network(seed=1), tmp_path / "other.onnx")
    assert "different model" in refused("tune", "other.onnx", "--out", "out")


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database " * 100)


def newer(path: Path) -> None:
    shutil.copy(ASSETS / "v1.db", path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said"), [(garbage, "is not a records file"), (newer, "newer version")]
)
def test_bad_records(
    spoil: Callable[[Path], None],
    said: str,
    tiny: str,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    (tmp_path / "out").mkdir()
    spoil(tmp_path / "out" / "records.db")
    assert said in refused("tune", tiny, "--out", "out")


# -- the zoo


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet81", "--out", "x.onnx"], "Did you mean 'resnet18'?"),
        (["bert_tiny", "--out", "x.onnx", "--seed", "-3"], "0 or more"),
        (["bert_tiny", "--out", "nowhere/x.onnx"], "choose another path"),
    ],
)
def test_a_bad_network(arguments: list[str], said: str, refused: Callable[..., str]) -> None:
    assert said in refused("zoo", *arguments)


# -- in a process of its own


def test_the_process_ends_with_the_same_code_and_line(
    tmp_path: Path, chameleon: Callable[..., Any]
) -> None:
    done = chameleon("tune", "missing.onnx", "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: missing.onnx: no such file; give the path of an ONNX model\n"
    assert not any(tmp_path.iterdir())


def test_a_budget_for_nothing_gives_default_schedules(
    tiny: str, tmp_path: Path, chameleon: Callable[..., Any]
) -> None:
    done = chameleon(
        "tune", tiny, "--out", "out", "--time-budget", "0.001s", "--quiet", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["trials"]["attempted"] == 0
    assert summary["verified"]
    assert set(summary["latency_ms"]) == {"tuned", "onnxruntime"}


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_one_line(tmp_path: Path, chameleon: Callable[..., Any]) -> None:
    with Path("/dev/full").open("w") as full:
        done = chameleon("--help", stdout=full, stderr=-1, capture_output=False)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_a_folder_that_cannot_be_made(
    tiny: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot write into" in refused("tune", tiny, "--out", "locked/out")
