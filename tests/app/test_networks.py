"""Networks of unusual kinds from file to result: parts, no kernels, and outputs of any dtype."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import chameleon_tuner
from chameleon_tuner.app import deploy
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.report.result import Result

RNG = np.random.default_rng(0)


def saved(folder: Path, text: str, **weights: Any) -> Path:
    """Write a model in ONNX's text format, with further weights, and return its path."""
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    onnx.save(made, folder / "net.onnx")
    return folder / "net.onnx"


def random(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture
def _deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so few trials the tuned model may be slower, and is deployed all the same."""
    monkeypatch.setattr(deploy, "_faster", lambda comparison: True)


def check(path: Path, folder: Path, *inputs: dict[str, Any]) -> None:
    """Check that the deployed folder computes what onnxruntime computes."""
    from chameleon_tuner.backends.tvm.deploy.library import Library

    library, session = Library(folder), onnxruntime.InferenceSession(str(path))
    for given in (library.random_inputs(0), *inputs):
        outputs, wanted = library(given), session.run(None, given)
        assert list(outputs) == [output.name for output in session.get_outputs()]
        assert [o.dtype for o in outputs.values()] == [o.dtype for o in wanted]
        assert difference(list(outputs.values()), wanted) <= 1e-5


def tuned(path: Path, folder: Path, trials: int) -> Result:
    result = chameleon_tuner.tune(path, folder, trials=trials)
    written = json.loads((folder / "summary.json").read_text())
    assert written["deployed"] == result.deployed
    assert (folder / "report.md").is_file()
    return result


@pytest.mark.usefixtures("_deployed")
def test_outputs_of_any_dtype_and_parts_in_onnxruntime(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """g (float[8,16] x, int64[2] i, bool[8,1] m) =>
            (bool[8,32] larger, int64[8] best, uint8[8,32] small, int64[2,N] where, float[2,32] y)
        <float zero = {0}, float scale = {0.05}, uint8 middle = {128}> {
            a = MatMul(x, w)
            larger = Greater(a, zero)
            best = ArgMax<axis = 1, keepdims = 0>(a)
            small = QuantizeLinear(a, scale, middle)
            c = Where(m, a, zero)
            where = NonZero(c)
            y = Gather(c, i)
        }""",
        w=random(16, 32),
    )
    result = tuned(path, tmp_path / "out", 12)
    assert (result.deployed, result.reason, result.verified) == ("tuned", "", True)
    assert result.errors == {"onnxruntime": pytest.approx(0.0, abs=1e-5)}
    assert result.latency_ms.keys() == {"tuned", "onnxruntime"}
    [part] = result.parts
    assert "NonZero" in part.operators
    assert part.reasons
    assert 0 < part.share < 1
    report = (tmp_path / "out" / "report.md").read_text()
    assert "## Parts in onnxruntime" in report
    mask = np.arange(8).reshape(8, 1) % 2 == 0
    check(path, tmp_path / "out", {"x": random(8, 16), "i": np.array([7, -1]), "m": mask})


@pytest.mark.usefixtures("_deployed")
def test_a_loop_between_kernels(tmp_path: Path) -> None:
    """Control flow never is TVM's."""
    path = saved(
        tmp_path,
        """g (float[4,16] x) => (float[4,16] y) <int64 times = {3}> {
            a = MatMul(x, w)
            b = Loop(times, go, a) <body = l (int64 n, bool c, float[4,16] p) =>
                (bool d, float[4,16] q) { d = Identity(c) t = Tanh(p) q = Add(t, bias) }>
            r = Reshape(b, shape)
            y = MatMul(r, w)
        }""",
        w=random(16, 16),
        shape=np.array([4, 16], np.int64),
        bias=random(16),
        go=np.array(True),
    )
    result = tuned(path, tmp_path / "out", 8)
    assert (result.deployed, result.verified) == ("tuned", True)
    [part] = result.parts
    assert list(part.operators) == ["Loop", "Reshape"]
    assert any("loops" in reason for reason in part.reasons)
    check(path, tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        """g (float[2,3] x) => (float[2,3] x, float[2,3] y, float[2] c) {
            y = Identity(x) c = Identity(w)
        }""",
        "g (int64[2,3] x) => (int64[2,N] y) { y = NonZero(x) }",
    ],
    ids=["passed through, and constant", "nothing for TVM"],
)
def test_networks_with_nothing_to_tune_run_all_the_same(text: str, tmp_path: Path) -> None:
    path = saved(tmp_path, text, w=random(2))
    result = tuned(path, tmp_path / "out", 4)
    assert result.verified
    assert result.deployed in ("tuned", "onnxruntime")
    assert bool(result.reason) == (result.deployed == "onnxruntime")
    assert result.trials["attempted"] == 0
    check(path, tmp_path / "out")
