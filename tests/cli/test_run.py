from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chameleon_tuner.cli import main
from chameleon_tuner.cli.commands.run import describe, load_arrays, save_arrays
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.testing.made import TINY_SHAPE

Refused = Callable[..., str]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Refused:
    def run(*arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        captured = capfd.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        assert captured.err.startswith("error: ")
        return captured.err

    return run


@pytest.fixture
def copy(tuned_folder: Path, tmp_path: Path) -> Path:
    """A tuned folder that a test may spoil."""
    return Path(shutil.copytree(tuned_folder, tmp_path / "copy"))


def test_outputs_are_those_of_onnxruntime(
    tuned_folder: Path, tiny_onnx: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(3).standard_normal(TINY_SHAPE, dtype=np.float32)
    given, written = tmp_path / "x.npz", tmp_path / "y.without-suffix"
    np.savez(given, input=x)
    assert main(["run", str(tuned_folder), "--inputs", str(given), "--outputs", str(written)]) == 0
    shown = capfd.readouterr()
    assert re.match(r"output: 1x10 float32, mean \S+, min \S+, max \S+\nwritten to ", shown.out)
    assert shown.err == ""
    session = onnxruntime.InferenceSession(tiny_onnx, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"input": x})
    np.testing.assert_allclose(load_arrays(written)["output"], expected, rtol=1e-3, atol=1e-3)


def test_random_inputs_follow_the_seed(
    tuned_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said = []
    for seed in ("1", "2", "1"):
        assert main(["run", str(tuned_folder), "--seed", seed]) == 0
        said.append(capfd.readouterr().out)
    assert said[0] == said[2] != said[1]


def test_bench_shows_the_median_and_the_spread(
    tuned_folder: Path, chameleon: Callable[..., Any]
) -> None:
    done = chameleon("run", tuned_folder, "--bench")
    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(
        r"latency: (\S+) ms, median of 10 rounds \((\S+) to (\S+) ms\) on \d+ threads?", done.stdout
    )
    assert found
    median, low, high = (float(number.replace(",", "")) for number in found.groups())
    assert 0 < low <= median <= high


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "input 'input' is missing"),
        ({"input": np.zeros(TINY_SHAPE, np.float32), "mask": np.zeros(1)}, "no input 'mask'"),
        ({"input": np.zeros((1, 3, 64), np.float32)}, "has shape (1, 3, 64), not (1, 3, 64, 64)"),
        ({"input": np.zeros(TINY_SHAPE, np.complex64)}, "has dtype complex64, not float32"),
    ],
)
def test_inputs_that_do_not_fit(
    arrays: dict[str, Any], said: str, tuned_folder: Path, tmp_path: Path, refused: Refused
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    assert said in refused("run", tuned_folder, "--inputs", tmp_path / "x.npz")


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"text"), "no npz file"),
        (lambda path: path.touch(), "no npz file"),
        (lambda path: path.mkdir(), "no npz file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 truncated"), "no npz file"),
        (lambda path: path.write_bytes(pickle.dumps(Evil())), "no npz file"),
        (lambda path: np.save(path.open("wb"), np.zeros(3)), "no npz file"),
        (
            lambda path: np.savez(path.open("wb"), input=np.array([Evil()], dtype=object)),
            "no npz file",
        ),
    ],
    ids=["missing", "text", "empty", "folder", "truncated", "pickle", "npy", "objects"],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_inputs_that_are_no_arrays(make: Callable[[Path], Any], said: str, tmp_path: Path) -> None:
    make(tmp_path / "x.npz")
    with pytest.raises(UsageError, match=said):
        load_arrays(tmp_path / "x.npz")


def test_outputs_keep_their_names(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "a/b": np.float32(2), "empty": np.zeros((0, 2))}
    save_arrays(tmp_path / "y", arrays)
    loaded = load_arrays(tmp_path / "y")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    assert describe("empty", loaded["empty"]) == "empty: 0x2 float64, empty"
    assert describe("a/b", loaded["a/b"]) == "a/b: scalar float32, mean 2, min 2, max 2"


def test_a_place_for_outputs_is_looked_for_first(tmp_path: Path, refused: Refused) -> None:
    said = refused("run", "anything", "--outputs", tmp_path / "nowhere" / "y.npz")
    assert "name a file in a folder that exists" in said
    assert "name a file" in refused("run", "anything", "--outputs", tmp_path)


def test_a_folder_without_a_library(tmp_path: Path, copy: Path, refused: Refused) -> None:
    assert "make one with `chameleon tune`" in refused("run", tmp_path / "nowhere")
    (copy / "model.so").unlink()
    said = refused("run", copy)
    assert "model.so is missing: copy the folder or tune the model again" in said
    (copy / "manifest.json").write_text("{")
    assert "holds no tuned library" in refused("run", copy)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"required_features": ["avx2", "avx99"]}, "this CPU lacks avx99"),
        ({"format": 99}, "made by a newer Chameleon"),
    ],
)
def test_a_library_for_others(
    changed: dict[str, Any], said: str, copy: Path, refused: Refused
) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, **changed}))
    assert said in refused("run", copy)


def test_damaged_weights(copy: Path, refused: Refused) -> None:
    (copy / "model.params").write_bytes(b"nothing")
    assert "model.params is damaged (it has 7 bytes and should have " in refused("run", copy)


def test_a_negative_seed(refused: Refused) -> None:
    assert "not negative" in refused("run", "anything", "--seed", "-1")
