from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from chameleon_tuner import zoo
from chameleon_tuner.core.errors import OutputError, UsageError
from chameleon_tuner.zoo.graph import Graph

CONVNETS = ["alexnet", "resnet18", "mobilenet_v2"]
LIGHT = ["resnet18", "mobilenet_v2", "bert_tiny"]
"""Networks that build in a fraction of a second."""

PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "mobilenet_v2": 3_504_872,
    "bert_tiny": 4_386_178,
}
"""Well-known counts; ours lack the folded batch norms, or BERT's pooler and later positions."""


@pytest.fixture(scope="module")
def models() -> dict[str, onnx.ModelProto]:
    return {name: zoo.build(name) for name in zoo.NETWORKS if name != "vgg16"}


def parameters(model: onnx.ModelProto) -> int:
    return sum(math.prod(weight.dims) for weight in model.graph.initializer)


def convolutions(model: onnx.ModelProto) -> list[tuple[object, ...]]:
    """Input channels, output channels, input height, kernel, stride and groups of each."""
    graph = model.graph
    shapes = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info)
    }
    weights = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "Conv":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            _, in_channels, height, _ = shapes[node.input[0]]
            out_channels, _, kernel, _ = weights[node.input[1]]
            stride, groups = attributes["strides"][0], attributes["group"]
            found.append((in_channels, out_channels, height, kernel, stride, groups))
    return found


def an_input(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    if model.graph.input[0].name == "input_ids":
        return {"input_ids": rng.integers(0, 30522, (1, 128))}
    return {"input": rng.standard_normal((1, 3, 224, 224), dtype=np.float32)}


def run(model: onnx.ModelProto, source: bytes | str) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    (output,) = session.run(["output"], an_input(model))
    return output


def assert_sane(output: np.ndarray, shape: tuple[int, ...]) -> None:
    assert output.shape == shape
    assert output.dtype == np.float32
    assert np.isfinite(output).all()
    assert 0.3 < output.std() < 6
    assert len(np.unique(output)) > 0.99 * output.size


@pytest.mark.parametrize("name", [*CONVNETS, "bert_tiny"])
def test_network_is_valid_and_its_outputs_are_sane(
    models: dict[str, onnx.ModelProto], name: str
) -> None:
    model = models[name]
    # The full check infers every shape and compares it with the one the builder wrote.
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    shape = (1, 128, 128) if name == "bert_tiny" else (1, 1000)
    assert_sane(run(model, model.SerializeToString()), shape)


@pytest.mark.parametrize("name", [*CONVNETS, "bert_tiny"])
def test_parameter_count_is_the_well_known_one(
    models: dict[str, onnx.ModelProto], name: str
) -> None:
    tolerance = 0.02 if name == "bert_tiny" else 0.01
    assert parameters(models[name]) == pytest.approx(PARAMETERS[name], rel=tolerance)


def test_alexnet_has_its_five_convolutions(models: dict[str, onnx.ModelProto]) -> None:
    assert convolutions(models["alexnet"]) == [
        (3, 64, 224, 11, 4, 1),
        (64, 192, 27, 5, 1, 1),
        (192, 384, 13, 3, 1, 1),
        (384, 256, 13, 3, 1, 1),
        (256, 256, 13, 3, 1, 1),
    ]


def test_resnet18_has_twenty_convolutions(models: dict[str, onnx.ModelProto]) -> None:
    found = convolutions(models["resnet18"])
    assert len(found) == 20
    assert [conv for conv in found if conv[3] == 1] == [
        (64, 128, 56, 1, 2, 1),
        (128, 256, 28, 1, 2, 1),
        (256, 512, 14, 1, 2, 1),
    ]
    assert len(set(found)) == 11


def test_mobilenet_v2_has_its_convolutions(models: dict[str, onnx.ModelProto]) -> None:
    found = convolutions(models["mobilenet_v2"])
    assert len(found) == 52
    assert sum(groups == in_channels for in_channels, *_, groups in found) == 17
    assert found[-1] == (320, 1280, 7, 1, 1, 1)
    assert [node.op_type for node in models["mobilenet_v2"].graph.node].count("Add") == 10


def test_bert_tiny_attends_with_two_heads(models: dict[str, onnx.ModelProto]) -> None:
    operators = [node.op_type for node in models["bert_tiny"].graph.node]
    assert operators.count("Softmax") == operators.count("Erf") == 2
    assert operators.count("MatMul") == 2 * (6 + 2)
    assert operators.count("LayerNormalization") == 1 + 2 * 2


def test_vgg16_is_one_file_of_nine_convolution_shapes(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.onnx"
    zoo.save("vgg16", path)
    assert [file.name for file in tmp_path.iterdir()] == ["vgg16.onnx"]
    model = onnx.load(path)
    output = run(model, str(path))
    path.unlink()  # pytest would keep half a gigabyte of every run
    assert parameters(model) == PARAMETERS["vgg16"]
    found = convolutions(model)
    assert (len(found), len(set(found))) == (13, 9)
    assert_sane(output, (1, 1000))


@pytest.mark.parametrize("name", LIGHT)
def test_seed_decides_the_weights(models: dict[str, onnx.ModelProto], name: str) -> None:
    again, other = zoo.build(name), zoo.build(name, seed=1)
    assert again.SerializeToString() == models[name].SerializeToString()
    first = run(again, again.SerializeToString())
    assert not np.allclose(first, run(other, other.SerializeToString()), atol=0.1)


def test_seed_gives_the_same_file_in_another_process(tmp_path: Path) -> None:
    here, there = tmp_path / "here.onnx", tmp_path / "there.onnx"
    zoo.save("mobilenet_v2", here, seed=7)
    code = "import sys; from chameleon_tuner import zoo; zoo.save('mobilenet_v2', sys.argv[1], 7)"
    subprocess.run([sys.executable, "-c", code, str(there)], check=True)
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (here, there)}
    assert len(digests) == 1


@pytest.mark.parametrize("name", LIGHT)
def test_tvm_imports_it_with_static_shapes(models: dict[str, onnx.ModelProto], name: str) -> None:
    frontend = pytest.importorskip("tvm.relax.frontend.onnx")
    main = frontend.from_onnx(models[name])["main"]
    shape = (1, 128, 128) if name == "bert_tiny" else (1, 1000)
    assert tuple(int(size) for size in main.ret_ty.shape) == shape
    assert len(main.params) == 1


def test_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'resnet18'\?.*alexnet, vgg16") as raised:
        zoo.build("ResNet-18")
    assert "bert_tiny" in str(raised.value)
    with pytest.raises(UsageError, match="Known networks") as raised:
        zoo.build("zzz")
    assert "Did you mean" not in str(raised.value)


def test_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="not -1"):
        zoo.build("bert_tiny", seed=-1)


def test_unwritable_path_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another path"):
        zoo.save("mobilenet_v2", tmp_path / "missing" / "model.onnx")


def test_only_the_last_node_can_be_the_output() -> None:
    graph = Graph("two", seed=0)
    first = graph.relu(graph.input("input", (1, 4)))
    graph.relu(first)
    with pytest.raises(ValueError, match="not the last"):
        graph.model(first)
