from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from chameleon_tuner.backends.tvm.backend import TVMBackend
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.testing.contracts.backend import BackendContract
from chameleon_tuner.testing.made import tiny_network


class TestTVM(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> TVMBackend:
        return TVMBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, tiny_onnx: Path) -> str:
        return str(tiny_onnx)

    @pytest.fixture(scope="class")
    @classmethod
    def broken_model(cls, tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
        path = tmp_path_factory.mktemp("broken") / "tiny.onnx"
        path.write_bytes(tiny_onnx.read_bytes()[:-1000])
        return str(path)

    @pytest.fixture(scope="class")
    @classmethod
    def other_model(cls, tmp_path_factory: pytest.TempPathFactory) -> str:
        path = tmp_path_factory.mktemp("other") / "tiny.onnx"
        onnx.save(tiny_network(seed=1), path)
        return str(path)

    def run_deployed(self, folder: Path) -> Sequence[np.ndarray[Any, Any]]:
        library = Library(folder)
        return list(library(library.random_inputs(0)).values())
