"""Parts of a library in onnxruntime: on the same memory, of every dtype, and with open shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper, parser

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.deploy.build import build_libraries
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.deploy.usage import usage
from chameleon_tuner.backends.tvm.frontend.cutting import EVERYTHING
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.backends.tvm.run.models import Models
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.ports.handler import ONNXRUNTIME, TUNED

RNG = np.random.default_rng(0)


def saved(folder: Path, text: str, **weights: Any) -> Path:
    """Write a model in ONNX's text format, with further weights, and return its path."""
    made = parser.parse_model(f'<ir_version: 9, opset_import: ["": 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    onnx.save(made, folder / "user.onnx")
    return folder / "user.onnx"


def library_of(path: Path, *outside: str) -> Library:
    """Build an untuned library beside a model, with nodes outside by the names of their outputs."""
    program = import_model(path, outside=dict.fromkeys(outside, "the test says so"))
    network = prepare(program, open_target("auto", 2), 2, registered())
    folder = path.parent / "built"
    folder.mkdir()
    build_libraries([network], {}, folder)
    return Library(folder)


def wanted(path: Path, inputs: Mapping[str, Any]) -> list[Any]:
    return list(onnxruntime.InferenceSession(str(path)).run(None, dict(inputs)))


def random(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


LSTM = """g (float[1,3,8,8] x) => (float[1,4,5] y) <int64[3] rows = {8, 1, 32}> {
    a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w)
    b = Relu(a)
    t = Transpose<perm = [2, 0, 1, 3]>(b)
    r = Reshape(t, rows)
    s, h = LSTM<hidden_size = 4>(r, iw, rw)
    q = Squeeze(s, one)
    m = Transpose<perm = [1, 2, 0]>(q)
    y = MatMul(m, last)
}"""


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Library]:
    """A recurrent part between a convolution and a matrix product."""
    path = saved(
        tmp_path_factory.mktemp("lstm"),
        LSTM,
        w=random(4, 3, 3, 3),
        iw=random(1, 16, 32) / 8,
        rw=random(1, 16, 4),
        last=random(8, 5),
        one=np.array([1], np.int64),
    )
    return path, library_of(path, "s")


def test_a_part_in_the_middle_computes_what_onnxruntime_computes(
    lstm: tuple[Path, Library],
) -> None:
    path, library = lstm
    [part] = library.manifest.parts
    assert "LSTM" in part.operators
    assert "Conv" not in part.operators
    assert "MatMul" not in part.operators
    assert part.static
    for _ in range(3):  # the part's inputs and outputs are bound again
        inputs = {"x": random(1, 3, 8, 8)}
        assert difference(list(library(inputs).values()), wanted(path, inputs)) <= 1e-5


def test_several_threads_call_a_part_at_once(lstm: tuple[Path, Library]) -> None:
    _, library = lstm
    inputs = [{"x": random(1, 3, 8, 8)} for _ in range(6)]
    expected = [library(given)["y"] for given in inputs]

    def call(number: int) -> bool:
        return np.array_equal(library(inputs[number % 6])["y"], expected[number % 6])

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(call, range(120)))


def test_the_share_of_a_part_is_measured(lstm: tuple[Path, Library]) -> None:
    _, library = lstm
    [(name, share)] = library.shares({"x": random(1, 3, 8, 8)}, 0.01).items()
    assert name == library.manifest.parts[0].name
    assert 0 < share < 1


def test_the_tuned_model_and_the_users_file_run_in_a_worker(lstm: tuple[Path, Library]) -> None:
    path, library = lstm
    inputs = {"x": random(1, 3, 8, 8)}
    outputs = []
    for name, file in ((TUNED, path.parent / "built" / "model.so"), (ONNXRUNTIME, path)):
        models = Models()
        models.open(name, str(file), 2, inputs)
        outputs.append(models.outputs())
        assert 0 < models.time(0.001) < 10
        parts = {part.name for part in library.manifest.parts} if name == TUNED else set()
        assert set(models.shares()) == parts
    assert difference(*outputs) <= 1e-5


def test_a_part_is_a_file_of_the_folder(lstm: tuple[Path, Library], tmp_path: Path) -> None:
    import shutil

    path, library = lstm
    folder = Path(shutil.copytree(path.parent / "built", tmp_path / "copy"))
    [part] = library.manifest.parts
    assert part.file in library.manifest.files
    (folder / part.file).unlink()
    with pytest.raises(LibraryError, match=r"parts/\w+\.onnx is missing: copy the folder or"):
        Library(folder)


def test_the_report_loads_a_library_with_parts_by_chameleon(lstm: tuple[Path, Library]) -> None:
    path, library = lstm
    text = "\n".join(usage(library.manifest, path.parent / "built"))
    script = text.split("```python\n")[1].split("```")[0]
    space: dict[str, Any] = {}
    exec(compile(script, "script", "exec"), space)  # noqa: S102 - the script that users get
    [y] = space["outputs"]
    assert y.shape == (1, 4, 5)


# -- shapes that depend on the data


def test_an_output_whose_shape_depends_on_the_data(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """g (float[4,4] x) => (int64[2,N] where, float[4,4] y) {
            y = MatMul(x, w) a = Relu(y) where = NonZero(a)
        }""",
        w=np.eye(4, dtype=np.float32),
    )
    library = library_of(path)
    [part] = library.manifest.parts
    assert ("NonZero" in part.operators, part.static) == (True, False)
    assert [spec.shape for spec in library.manifest.outputs] == [(2, None), (4, 4)]
    for positive in (0, 1, 16):
        x = np.where(np.arange(16).reshape(4, 4) < positive, 1, -1).astype(np.float32)
        found = library({"x": x})
        assert found["where"].shape == (2, positive)
        assert difference(list(found.values()), wanted(path, {"x": x})) == 0.0


def test_a_part_may_hide_such_shapes(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """g (float[4,4] x) => (float[1,4] y) <int64[1] first = {0}> {
            a = MatMul(x, w) b = Relu(a) n = NonZero(b) t = Transpose(n) g = GatherND(a, t)
            s = ReduceSum(g, first) r = Expand(s, shape) y = MatMul(r, w)
        }""",
        w=random(4, 4),
        shape=np.array([1, 4], np.int64),
    )
    library = library_of(path)
    [part] = library.manifest.parts
    assert part.static
    x = random(4, 4)
    assert difference(list(library({"x": x}).values()), wanted(path, {"x": x})) <= 1e-5


def test_several_outputs_of_such_shapes(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """g (int64[2,3] i) => (int64[N] u, int64[N] at, int64[6] back, int64[N] count) {
            f = Reshape(i, flat) u, at, back, count = Unique<sorted = 1>(f)
        }""",
        flat=np.array([6], np.int64),
    )
    library = library_of(path)
    for numbers in ([[1, 1, 1], [1, 1, 1]], [[5, 1, 3], [1, 5, 9]]):
        inputs = {"i": np.array(numbers)}
        assert difference(list(library(inputs).values()), wanted(path, inputs)) == 0.0


# -- values


@pytest.mark.parametrize(
    "dtype",
    [
        *("bool", "float16", "float32", "float64"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    ],
)
def test_every_dtype_crosses_the_border(dtype: str, tmp_path: Path) -> None:
    type_ = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Transpose", ["x"], ["a"]),
        helper.make_node("Concat", ["a", "a"], ["b"], axis=0),
    ]
    values = [helper.make_tensor_value_info("x", type_, [2, 3])]
    outputs = [
        helper.make_tensor_value_info(n, type_, s) for n, s in (("a", [3, 2]), ("b", [6, 2]))
    ]
    graph = helper.make_graph(nodes, "g", values, outputs)
    path = tmp_path / "user.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    library = library_of(path, "a", "b")
    assert [part.operators for part in library.manifest.parts] == [("Transpose", "Concat")]
    inputs = {"x": np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)}
    for found, expected in zip(library(inputs).values(), wanted(path, inputs), strict=True):
        assert found.dtype == expected.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, expected)


def test_scalars_and_weights_alone(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        "g (float x) => (float y, float[2] c) { y = Tanh(x) c = Identity(w) }",
        w=np.array([3, 4], np.float32),
    )
    library = library_of(path, EVERYTHING)
    found = library({"x": np.float32(0.5)})
    assert found["y"].shape == ()
    assert found["y"] == pytest.approx(np.tanh(0.5))
    assert found["c"].tolist() == [3.0, 4.0]


def names(parts: Sequence[Any]) -> list[tuple[str, ...]]:
    return [part.operators for part in parts]


def test_a_whole_model_may_be_one_part(tmp_path: Path) -> None:
    text = "g (float[4,4] x) => (float[4,4] y) { a = MatMul(x, w) y = Relu(a) }"
    path = saved(tmp_path, text, w=random(4, 4))
    library = library_of(path, EVERYTHING)
    assert names(library.manifest.parts) == [("MatMul", "Relu")]
    x = random(4, 4)
    assert difference(list(library({"x": x}).values()), wanted(path, {"x": x})) <= 1e-6


def test_what_a_part_refuses_is_an_error_of_one_line(tmp_path: Path) -> None:
    """An index that is none: onnxruntime says so while TVM's code runs."""
    path = saved(
        tmp_path,
        "g (int64[2] i) => (float[2,4] y) { a = Gather(t, i) y = MatMul(a, w) }",
        t=random(3, 4),
        w=random(4, 4),
    )
    library = library_of(path, "a")
    assert library({"i": np.array([0, 2])})["y"].shape == (2, 4)
    with pytest.raises(LibraryError, match="onnxruntime does not run") as caught:
        library({"i": np.array([0, 7])})
    assert "\n" not in str(caught.value)
    assert library({"i": np.array([0, 2])})["y"].shape == (2, 4)
