from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.lower.graph import finish, fuse, lay_out
from chameleon_tuner.backends.tvm.network import extract_tasks
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.testing.made import tiny_network
from chameleon_tuner.zoo.graph import Graph

import tvm  # isort: skip
from tvm import relax, te, topi  # isort: skip


@pytest.fixture(scope="module")
def target() -> tvm.target.Target:
    return resolve_target("auto", 2)


def imported(model: onnx.ModelProto) -> tvm.ir.IRModule:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return import_model(path).module


def lowered(seed: int, target: tvm.target.Target) -> tvm.ir.IRModule:
    return fuse(lay_out(imported(tiny_network(seed)), target), target)


def outputs(module: tvm.ir.IRModule, target: tvm.target.Target, *inputs: np.ndarray) -> np.ndarray:
    compiled = finish(fuse(lay_out(module, target), target), target)
    machine = relax.VirtualMachine(compiled.executable, tvm.cpu())
    given = [tvm.runtime.tensor(array) for array in inputs]
    returned = machine["main"](*given, *compiled.weights)
    return (returned if isinstance(returned, tvm.runtime.Tensor) else returned[0]).numpy()


def test_a_torch_exported_program(target: tvm.target.Target) -> None:
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten()
    ).eval()
    x = torch.randn(1, 3, 8, 8)
    program = import_model(torch.export.export(model, (x,)))
    assert [spec.shape for spec in program.inputs] == [(1, 3, 8, 8)]
    found = outputs(program.module, target, x.numpy())
    assert np.allclose(found, model(x).detach().numpy(), atol=1e-5)


def test_a_prim_func(target: tvm.target.Target) -> None:
    a, b = te.placeholder((16, 32), name="a"), te.placeholder((32, 8), name="b")
    program = import_model(te.create_prim_func([a, b, topi.matmul(a, b)]))
    assert [spec.shape for spec in program.inputs] == [(16, 32), (32, 8)]
    assert [spec.shape for spec in program.outputs] == [(16, 8)]
    rng = np.random.default_rng(0)
    x, y = (rng.random(shape, dtype=np.float32) for shape in ((16, 32), (32, 8)))
    assert np.allclose(outputs(program.module, target, x, y), x @ y, atol=1e-4)


def test_a_relax_module_is_itself(target: tvm.target.Target) -> None:
    module = imported(tiny_network())
    first, second = import_model(module), import_model(module)
    assert first.digest == second.digest
    assert first.inputs


@pytest.mark.parametrize("thing", [3, None, object(), [1, 2]])
def test_what_cannot_be_tuned(thing: object) -> None:
    with pytest.raises(ModelError, match="cannot tune a"):
        import_model(thing)


def test_convolutions_run_channels_last_and_the_ends_stay(target: tvm.target.Target) -> None:
    module = imported(tiny_network())
    lowered = fuse(lay_out(module, target), target)
    before, after = (tuple(m["main"].params[0].ty.shape.values) for m in (module, lowered))
    assert before == after
    tasks, spaces = extract_tasks(lowered, target)
    convolutions = [task for task in tasks if "conv2d" in task.name]
    assert convolutions
    for task in convolutions:
        channels = int(task.arguments[1].split()[0].rpartition("x")[2])
        assert task.arguments[-1].split()[0].endswith(f"x{channels}")  # HWIO in, NHWC out
    assert {task.key for task in tasks} == set(spaces)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("HardSwish", {}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}), ("HardSigmoid", {})],
)
def test_hard_activations_fuse_with_the_convolution(
    op: str, attributes: dict[str, float], target: tvm.target.Target
) -> None:
    graph = Graph("hard", 0)
    x = graph.conv(graph.input("input", (1, 4, 6, 6)), 8, kernel=3, padding=1)
    x = graph.node(op, (x,), x.shape, **attributes)
    model = graph.model(graph.conv(x, 8, kernel=3, padding=1))
    tasks, _ = extract_tasks(fuse(lay_out(imported(model), target), target), target)
    assert sum("conv2d" in task.name for task in tasks) == 2
    assert all("conv2d" in task.name or "transpose" in task.name for task in tasks)
    data = np.random.default_rng(0).standard_normal((1, 4, 6, 6)).astype("float32") * 4
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (wanted,) = session.run(None, {"input": data})
    found = outputs(imported(model), target, data)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_keys_do_not_depend_on_the_weights(target: tvm.target.Target) -> None:
    first, second = (
        {
            task.key
            for task in extract_tasks(
                fuse(lay_out(imported(tiny_network(s)), target), target), target
            )[0]
        }
        for s in (0, 1)
    )
    assert first == second


def test_attention_is_taken_apart(target: tvm.target.Target, tmp_path: Path) -> None:
    text = """
        <ir_version: 11, opset_import: ["": 23]>
        g (float[1,12,32] q, float[1,12,32] k, float[1,12,32] v) => (float[1,12,32] y) {
            y = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, v)
        }
    """
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    program = import_model(path)
    assert program.parts == {}
    rng = np.random.default_rng(0)
    given = [rng.standard_normal((1, 12, 32)).astype("float32") for _ in range(3)]
    heads = [array.reshape(12, 4, 8).transpose(1, 0, 2) for array in given]
    scores = heads[0] @ heads[1].transpose(0, 2, 1) / np.sqrt(8)
    shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    right = (shares @ heads[2]).transpose(1, 0, 2).reshape(1, 12, 32)
    np.testing.assert_allclose(outputs(program.module, target, *given), right, atol=1e-5)
