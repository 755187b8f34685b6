"""CUDA through the same loop: built everywhere, run where there is a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chameleon_tuner
from chameleon_tuner.backends.tvm.lower.default import launchable
from chameleon_tuner.backends.tvm.lower.graph import fuse, lay_out, untuned
from chameleon_tuner.backends.tvm.network import extract_tasks
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.ports.handler import RejectedError

import tvm  # isort: skip


@pytest.fixture(scope="module")
def target() -> tvm.target.Target:
    return resolve_target("cuda -arch=sm_90", threads=2)


def test_candidates_and_untuned_kernels_build_without_a_gpu(
    target: tvm.target.Target, tiny_relax: tvm.ir.IRModule
) -> None:
    tasks, spaces = extract_tasks(fuse(lay_out(tiny_relax, target), target), target)
    matmul = next(task for task in tasks if "matmul" in task.name)
    space = spaces[matmul.key]
    rows = matmul.space.sample(8, np.random.default_rng(0))
    built = 0
    for configuration in matmul.space.configurations(rows):
        try:
            scheduled = space.replay(configuration).schedule.mod
        except RejectedError:
            continue
        tvm.compile(scheduled, target=target)
        built += 1
    assert built
    tvm.compile(launchable(space.module, target), target=target)


def test_a_whole_untuned_model_builds_without_a_gpu(
    target: tvm.target.Target, tiny_relax: tvm.ir.IRModule
) -> None:
    compiled = untuned(tiny_relax, target)
    assert compiled.weights


@pytest.mark.gpu
@pytest.mark.skipif(not tvm.cuda(0).exist, reason="needs a CUDA device")
def test_a_model_is_tuned_on_the_gpu(tmp_path: Path, tiny_onnx: Path) -> None:
    result = chameleon_tuner.tune(str(tiny_onnx), tmp_path / "out", target="cuda", trials=32)
    assert result.verified
    assert result.speedup >= 1
