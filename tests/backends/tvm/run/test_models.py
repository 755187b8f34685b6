"""Whole models in a worker, one at a time; `deploy/test_parts.py` has one with parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.deploy.build import UNTUNED as UNTUNED_FILE
from chameleon_tuner.backends.tvm.deploy.build import build_libraries
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.run.models import Models
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.ports.handler import ONNXRUNTIME, TUNED, UNTUNED
from chameleon_tuner.system.files import LIBRARY


def test_every_contestant_runs_on_the_same_inputs(
    tiny_onnx: Path, tiny_relax: Any, tmp_path: Path
) -> None:
    network = prepare(import_model(tiny_relax), open_target("auto", 2), 2, registered())
    build_libraries([network], {}, tmp_path)
    [spec] = network.program.inputs
    x = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    contestants = {
        TUNED: (tmp_path / LIBRARY, spec.name),
        UNTUNED: (tmp_path / UNTUNED_FILE, spec.name),
        ONNXRUNTIME: (tiny_onnx, "input"),
    }
    models, outputs = Models(), []
    for name, (path, given) in contestants.items():
        models.open(name, str(path), 2, {given: x})
        outputs.append(models.outputs())
        assert 0 < models.time(0.001) < 10
        assert models.shares() == {}
    assert all(difference(mine, outputs[-1]) <= 1e-5 for mine in outputs)


@pytest.mark.parametrize("name", [TUNED, UNTUNED, ONNXRUNTIME])
def test_what_is_not_there_cannot_be_opened(name: str, tmp_path: Path) -> None:
    with pytest.raises(LibraryError):
        Models().open(name, str(tmp_path / LIBRARY), 2, {})
