from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

import tvm

from chameleon_tuner.backends.tvm.deploy import build
from chameleon_tuner.backends.tvm.deploy.build import UNTUNED, build_libraries, keep_untuned
from chameleon_tuner.backends.tvm.deploy.library import LIBRARY, Library
from chameleon_tuner.backends.tvm.deploy.manifest import Manifest, weights_path
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import Network, open_target, prepare
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.core.errors import OutputError

MANIFEST = Manifest("net", "digest", {"kind": "llvm"}, (), 2, (), ())


def plain(model: Any) -> Network:
    """Without other algorithms."""
    return prepare(import_model(model), open_target("auto", 2), 2, registered())


def test_who_has_loaded_a_library_that_is_dropped_keeps_it(tmp_path: Path) -> None:
    for name, text in ((LIBRARY, "tuned"), (UNTUNED, "untuned")):
        (tmp_path / name).write_text(text)
        weights_path(tmp_path / name).write_text(text)
        MANIFEST.write(tmp_path, name)
    deployed = tmp_path / LIBRARY
    deployed.chmod(0o755)
    (tmp_path / UNTUNED).chmod(0o755)
    with deployed.open() as code, weights_path(deployed).open() as weights:
        keep_untuned(tmp_path)
        assert code.read() == weights.read() == "tuned"
    assert deployed.read_text() == weights_path(deployed).read_text() == "untuned"
    assert deployed.stat().st_mode & 0o777 == 0o755
    assert len(list(tmp_path.iterdir())) == 6


def test_a_library_refuses_a_tensor_that_it_would_read_wrongly(
    tiny_onnx: Path, tmp_path: Path
) -> None:
    """One that begins within its memory, of which only a kernel's own checks know."""
    network = plain(tiny_onnx)
    build_libraries([network], {}, tmp_path)
    library = Library(tmp_path)
    [spec] = library.manifest.inputs
    twice = tvm.runtime.tensor(np.ones(2 * prod(spec.shape), spec.dtype), tvm.cpu())
    begin, behind = (
        twice._create_view(spec.shape, spec.dtype, offset) for offset in (0, 4 * prod(spec.shape))
    )
    _, code = library._compiled({})
    run = code._mine()._main
    run(begin, *code._weights)
    with pytest.raises(ValueError, match="byte_offset"):
        run(behind, *code._weights)


@pytest.mark.parametrize(
    ("model", "failing"),
    [
        *(("tiny_relax", name) for name in ("untuned", "finish")),
        *(("tiny_onnx", name) for name in ("write_original", "finish")),
    ],
)
def test_a_library_that_cannot_be_built_leaves_no_rival(
    model: str,
    failing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """The two are made side by side."""

    def fail(*_: object) -> None:
        raise OutputError("no space left")

    network = plain(request.getfixturevalue(model))
    monkeypatch.setattr(build, failing, fail)
    with pytest.raises(OutputError, match="no space left"):
        build_libraries([network], {}, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("model.")] == []
