from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest

from chameleon_tuner.cli import main
from chameleon_tuner.testing.made import open_batch, tiny_network

COLUMNS = ["task", "arguments, the output last", "FLOP", "calls", "space", "sketches", "algorithms"]


def test_a_table_of_what_would_be_tuned(tiny_onnx: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", str(tiny_onnx)]) == 0
    captured = capfd.readouterr()
    head, *rows, total = captured.out.splitlines()
    assert re.split(r"  +", head.strip()) == COLUMNS
    assert sum("conv2d" in row for row in rows) == 3
    assert any("  1x64x64x3, 3x3x3x16, 1x1x1x16, 1x32x32x16 float32  " in row for row in rows)
    assert total.startswith(f"{len(rows)} tasks, ")
    assert captured.err == ""


def test_json_for_programs(tiny_onnx: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", str(tiny_onnx), "--json"]) == 0
    tasks = json.loads(capfd.readouterr().out)
    by_work = max(tasks, key=lambda task: task["weight"] * task["flops"])
    assert by_work.keys() == {
        *("name", "arguments", "flops", "weight", "space", "sketches", "algorithms")
    }
    assert by_work["flops"] > 1e6
    assert by_work["space"] > 1e6
    assert by_work["sketches"] >= 1
    algorithms = [task["algorithms"] for task in tasks]
    assert algorithms.count(["direct", "winograd 2x2", "winograd 4x4"]) == 2
    assert all(each[0] == "direct" for each in algorithms)


def test_shapes_fix_open_dimensions(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    onnx.save(open_batch(), tmp_path / "open.onnx")
    command = ["tasks", str(tmp_path / "open.onnx"), "--json", "--shape", "input=2,3,64,64"]
    assert main(command) == 0
    tasks = json.loads(capfd.readouterr().out)
    assert any("2x64x64x3 float32" in task["arguments"] for task in tasks)


def test_the_zoo_says_what_comes_next(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my bert.onnx"
    assert main(["zoo", "bert_tiny", "--out", str(path), "--seed", "1"]) == 0
    said = capfd.readouterr().out
    assert "bert_tiny, " in said
    assert f"next: chameleon tune '{path}' --out tuned/" in said
    onnx.checker.check_model(onnx.load(path))


def test_the_tiny_network_is_what_it_says() -> None:
    onnx.checker.check_model(tiny_network(), full_check=True)
    assert tiny_network(3) == tiny_network(3) != tiny_network(4)
