"""Networks without a convolution for minimal filtering are not fused again."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.backends.tvm.rewrites.winograd import rewrite
from chameleon_tuner.zoo.graph import Graph


def algorithms(path: Path, channels: int, outputs: int, kernel: int, **others: int) -> set[str]:
    """Return the algorithms of the tasks of one convolution."""
    graph = Graph("one", seed=0)
    x = graph.input("input", (1, channels, 12, 12))
    made = graph.relu(graph.conv(x, outputs, kernel, padding=kernel // 2, **others))
    onnx.save(graph.model(made), path)
    tasks = prepare(import_model(path), open_target("auto", 2), 2, ["separable"]).tasks
    return {task.algorithm for task in tasks}


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "stride", "groups"),
    [
        (32, 32, 3, 1, 32),
        (32, 32, 3, 1, 2),
        (3, 32, 3, 1, 1),
        (32, 8, 3, 1, 1),
        (32, 32, 3, 2, 1),
        (32, 32, 5, 1, 1),
    ],
)
def test_fused_once(
    channels: int,
    outputs: int,
    kernel: int,
    stride: int,
    groups: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def again(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(rewrite, "fused_otherwise", again)
    path = tmp_path / "one.onnx"
    found = algorithms(path, channels, outputs, kernel, stride=stride, groups=groups)
    assert found == {"direct"}


def test_filtered(tmp_path: Path) -> None:
    found = algorithms(tmp_path / "one.onnx", 32, 32, 3)
    assert found == {"direct", "winograd 2x2", "winograd 4x4"}
