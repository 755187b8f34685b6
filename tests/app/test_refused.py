"""Wrong kernels, and slow ones that claim to be fast, do not get in."""

from __future__ import annotations

from pathlib import Path

import pytest

from chameleon_tuner.app.options import Options
from chameleon_tuner.app.progress import Silent
from chameleon_tuner.app.tune import run
from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.testing.faulty_worker import HANDLER, Fault, Rule, environment


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([Rule(Fault.WRONG_OUTPUT, "judge")], "wrong output"),
        (
            [Rule(Fault.CLAIMS_TO_BE_FAST, "run"), Rule(Fault.CLAIMS_TO_BE_FAST, "judge")],
            "slower than untuned",
        ),
    ],
    ids=["wrong", "slow"],
)
def test_nothing_bad_gets_in(
    rules: list[Rule],
    reason: str,
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment(*rules).items():
        monkeypatch.setenv(name, value)
    backend, options = TVMBackend(HANDLER), Options(trials=16)
    result = run(str(tiny_onnx), tmp_path / "out", options, Silent(), Stopwatch(), backend)
    assert result.verified
    for task in result.tasks:
        assert task.configuration is None
        assert task.best_us == task.untuned_us
        if task.trials:
            assert all(reason in line or "whole" in line for line in task.refused)
            assert task.refused
