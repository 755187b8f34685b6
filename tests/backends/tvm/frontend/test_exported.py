"""PyTorch's programs: from files, from modules, and those that are no programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

import chameleon_tuner
from chameleon_tuner.backends.tvm.frontend.exported import program_of, to_onnx
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.cli import main
from chameleon_tuner.core.errors import ModelError


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": torch.relu(self.convolution(x))}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "small.pt2"
    torch.export.save(program_of(Network().eval(), [torch.randn(1, 3, 16, 16)]), path)
    return path


@pytest.mark.parametrize("name", ["torch.onnx", "onnxscript.optimizer", "onnx_ir.passes"])
def test_the_exporter_and_its_optimiser_are_not_heard(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.onnx.export

    def warning(*args: Any, **kwargs: Any) -> Any:
        logging.getLogger(name).warning("Evaluation failed")
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.onnx, "export", warning)
    to_onnx(program_of(Network().eval(), [torch.randn(1, 3, 8, 8)]))
    assert "Evaluation failed" not in caplog.text


def test_a_file_is_a_program_of_its_name(file: Path) -> None:
    program = import_model(str(file))
    assert program.name == "small"
    assert [spec.shape for spec in program.inputs] == [(1, 3, 16, 16)]
    assert program.onnx is not None  # which onnxruntime runs, to verify it
    assert program.digest == import_model(file).digest


def test_the_command_takes_the_file(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", str(file)]) == 0
    assert "1x16x16x3" in capfd.readouterr().out


def test_a_module_with_example_inputs(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 16, 16)
    result = chameleon_tuner.tune(Network().eval(), tmp_path / "a", example_inputs=[x], trials=2)
    assert result.verified


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"nothing", "is no program of torch.export.save"), (None, "no such file")],
)
def test_a_file_that_is_none(
    content: bytes | None, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.pt2"
    if content is not None:
        path.write_bytes(content)
    assert main(["tune", str(path), "--out", str(tmp_path / "out")]) == 2
    captured = capfd.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Network(), "in training mode: call its method eval"),
        ("model.onnx", "example inputs are for PyTorch modules, and this is a str"),
    ],
)
def test_what_is_no_module_to_export(module: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=said):
        chameleon_tuner.tune(module, tmp_path / "out", example_inputs=[torch.randn(1, 3, 8, 8)])
    assert not (tmp_path / "out").exists()


def test_what_pytorch_cannot_export() -> None:
    with pytest.raises(ModelError, match=r"torch\.export refuses the module"):
        program_of(Network().eval(), [torch.randn(1, 4, 8, 8)])
