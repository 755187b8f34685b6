"""ONNX files as users have them: open dimensions, external data, no shapes, half a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from chameleon_tuner.backends.tvm.frontend.preparation import fixed, simplified
from chameleon_tuner.backends.tvm.frontend.reading import NEWEST_IR, border, read_onnx
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.testing.made import unknown_operator

HEADER = '<ir_version: 9, opset_import: ["": 17]>'


def saved(path: Path, text: str, **weights: Any) -> Path:
    """Write a model in ONNX's text format, with further weights."""
    made = parser.parse_model(f"{HEADER} {text}")
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    onnx.save(made, path)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


# -- open dimensions

RELU = "g (float[{}] x) => (float[{}] y) {{ y = Relu(x) }}"


def shaped(path: Path, *extents: int | str | None) -> Path:
    """Write a model whose input has these dimensions: numbers, names, or neither."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, extents) for n in ("x", "y")]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def shape_of(model: onnx.ModelProto, name: str = "x") -> tuple[int | None, ...]:
    [spec] = [s for s in border([*model.graph.input, *model.graph.output]) if s.name == name]
    return spec.shape


@pytest.mark.parametrize(
    ("extent", "label"), [("batch", "batch"), (None, r"\?"), (-1, r"\?")], ids=str
)
def test_named_unnamed_and_negative_dimensions_are_open(
    extent: int | str | None, label: str, path: Path
) -> None:
    file = read_onnx(shaped(path, extent, 3))
    with pytest.raises(
        ModelError,
        match=rf"input 'x': dimension 0 \({label}\) has no fixed size; give one, for example "
        "--shape x=1,3",
    ):
        fixed(file, {})
    assert shape_of(fixed(file, {"x": [2, 3]})) == (2, 3)
    assert shape_of(file.load()) == (None, 3)  # the file stays as it is


def test_a_fixed_shape_needs_none_and_takes_its_own(path: Path) -> None:
    file = read_onnx(shaped(path, 2, 3))
    assert shape_of(fixed(file, {})) == shape_of(fixed(file, {"x": (2, 3)})) == (2, 3)


def test_an_input_that_no_machine_holds(path: Path) -> None:
    with pytest.raises(ModelError, match="'x' of 1099511627776x3 elements does not fit in"):
        fixed(read_onnx(shaped(path, 1 << 40, 3)), {})
    with pytest.raises(ModelError, match="smaller dimensions"):
        fixed(read_onnx(shaped(path, "batch", 3)), {"x": (1 << 50, 3)})


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 1), ()])
def test_a_shape_that_does_not_fit(shape: tuple[int, ...], path: Path) -> None:
    file = read_onnx(shaped(path, "batch", 3))
    with pytest.raises(ModelError, match=r"--shape x=.* does not fit the model's \(batch,3\)"):
        fixed(file, {"x": shape})


def test_a_shape_of_no_input(path: Path) -> None:
    file = read_onnx(saved(path, "g (float[2] x) => (float[2] y) { y = Add(x, w) }", w=[1.0, 2.0]))
    with pytest.raises(ModelError, match="the model has no input 'w'; it has"):
        fixed(file, {"w": [2]})


def test_an_input_without_a_shape(path: Path) -> None:
    made = onnx.load(shaped(path, 2))
    made.graph.input[0].type.tensor_type.ClearField("shape")
    path.write_bytes(made.SerializeToString())
    file = read_onnx(path)
    with pytest.raises(ModelError, match=r"input 'x' has no shape; give one, .* --shape x=1,3,"):
        fixed(file, {})
    assert shape_of(fixed(file, {"x": [4, 5]})) == (4, 5)


def test_shapes_that_hold_for_open_dimensions_only_are_forgotten(
    path: Path, tmp_path: Path
) -> None:
    """The output says what the batch was when the model was exported."""
    shaped(path, "batch", 3)
    made = onnx.load(path)
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(made, path)
    ready = simplified(fixed(read_onnx(path), {"x": [4, 3]}), path.parent, tmp_path)
    assert shape_of(ready, "y") == (4, 3)


# -- external data


def external(folder: Path, location: str = "weights/w.bin") -> Path:
    """Write a model whose weights are in a file of their own."""
    text = "g (float[4] x) => (float[4] y) { a = Add(x, w) y = Mul(a, v) }"
    path = saved(
        folder / "model.onnx", text, w=np.arange(4, dtype=np.float32), v=np.full(4, 2, np.float32)
    )
    made = onnx.load(path)
    for tensor in made.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, location)
    (folder / location).parent.mkdir(exist_ok=True, parents=True)
    onnx.save(made, path)
    return path


def test_external_data_is_read_with_the_model(tmp_path: Path) -> None:
    file = read_onnx(external(tmp_path))
    assert {*file.external} == {"weights/w.bin"}
    assert file.external["weights/w.bin"].is_file()
    assert not file.load().graph.initializer[0].HasField("raw_data")
    ready = simplified(fixed(file, {}), tmp_path, tmp_path)
    x = np.ones(4, np.float32)
    [y] = onnxruntime.InferenceSession(ready.SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(y, 2 * (x + np.arange(4)))


def test_other_external_data_is_another_model(tmp_path: Path) -> None:
    path = external(tmp_path)
    before = read_onnx(path).digest
    assert read_onnx(path).digest == before
    content = bytearray((tmp_path / "weights" / "w.bin").read_bytes())
    content[3] ^= 1
    (tmp_path / "weights" / "w.bin").write_bytes(content)
    assert read_onnx(path).digest != before


def test_external_data_that_is_missing_is_named(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "weights" / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"w\.bin: no such file; the model has its weights there"):
        read_onnx(path)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd"])
def test_external_data_stays_in_the_folder_of_the_model(location: str, tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path.parent / "w.bin").write_bytes(b"\0" * 64)
    made = onnx.load(path, load_external_data=False)
    for tensor in made.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelError, match="the model's weights lie outside its folder, in "):
        read_onnx(path)


# -- what is no model, or none to tune


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x09"])
def test_what_is_no_model(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is not an ONNX model"):
        read_onnx(path)


def test_half_a_model(path: Path) -> None:
    whole = saved(path, RELU.format(4, 4), w=np.ones(100)).read_bytes()
    path.write_bytes(whole[:-50])
    with pytest.raises(ModelError, match=r"not an ONNX model, or truncated .*; export it again"):
        read_onnx(path)


def test_what_onnxruntime_refuses_is_refused_with_its_reason(path: Path, tmp_path: Path) -> None:
    onnx.save(unknown_operator(), path)
    with pytest.raises(ModelError, match="Grizzly") as caught:
        simplified(fixed(read_onnx(path), {}), path.parent, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (helper.make_tensor_value_info("x", TensorProto.STRING, [2]), "'x' is a tensor of strings"),
        (
            helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [2]),
            "'x' is a sequence; only tensors",
        ),
    ],
    ids=["strings", "sequence"],
)
def test_only_tensors_of_numbers_go_in_and_out(value: onnx.ValueInfoProto, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        border([value])


def test_a_newer_file_format_is_read_by_every_onnxruntime(path: Path) -> None:
    saved(path, RELU.format(4, 4))
    made = onnx.load(path)
    made.ir_version = NEWEST_IR + 1
    onnx.save(made, path)
    assert read_onnx(path).load().ir_version == NEWEST_IR


# -- simplification


def test_shape_arithmetic_is_folded(path: Path, tmp_path: Path) -> None:
    saved(
        path,
        """g (float[N,6] x) => (float[N,A,B] y) <int64[1] zero = {0}, int64[2] rest = {2, 3}> {
            s = Shape(x) n = Gather(s, zero) t = Concat<axis = 0>(n, rest) y = Reshape(x, t)
        }""",
    )
    ready = simplified(fixed(read_onnx(path), {"x": [5, 6]}), path.parent, tmp_path)
    assert [node.op_type for node in ready.graph.node] == ["Reshape"]
    assert shape_of(ready, "y") == (5, 2, 3)


def test_weights_may_be_declared_as_inputs(path: Path, tmp_path: Path) -> None:
    """That is how files of old versions have them."""
    text = "g (float[2] x, float[2] w) => (float[2] y) { y = Add(x, w) }"
    file = read_onnx(saved(path, text, w=np.array([1, 2], np.float32)))
    assert [value.name for value in file.inputs] == ["x"]
    assert shape_of(fixed(file, {})) == (2,)
    assert simplified(fixed(file, {}), path.parent, tmp_path).graph.node[0].op_type == "Add"
