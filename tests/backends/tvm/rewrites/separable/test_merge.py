from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from chameleon_tuner.backends.tvm.deploy.build import apply_winners
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.lower.graph import finish, fuse, is_kernel_call, lay_out
from chameleon_tuner.backends.tvm.network import extract_tasks, prepare
from chameleon_tuner.backends.tvm.rewrites.separable import rules
from chameleon_tuner.backends.tvm.rewrites.separable.chains import Caches, Kind, kind_of
from chameleon_tuner.backends.tvm.rewrites.separable.merge import merge_separable
from chameleon_tuner.backends.tvm.space.rules import register
from chameleon_tuner.backends.tvm.targets import resolve_target
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.search.cost import prior
from chameleon_tuner.zoo import build
from chameleon_tuner.zoo.graph import Graph, Tensor

import tvm  # isort: skip
from tvm import relax, te, tirx  # isort: skip

TARGET = resolve_target("auto", 2)
ALWAYS = Caches(0, 1)
NEITHER, MERGING = ("separable", "winograd"), ("winograd",)
"""Algorithms that are left out."""


def relu(graph: Graph, x: Tensor) -> Tensor:
    return graph.relu(x)


def hard_swish(graph: Graph, x: Tensor) -> Tensor:
    return graph.node("HardSwish", (x,), x.shape)


def block(
    size: int = 8,
    channels: int = 16,
    widened: int = 0,
    outputs: int = 16,
    stride: int = 1,
    kernel: int = 3,
    batch: int = 1,
    residual: bool = False,
    dilation: int = 1,
    activation: Callable[[Graph, Tensor], Tensor] = relu,
) -> onnx.ModelProto:
    """A depthwise separable convolution, or an inverted residual where it widens."""
    graph = Graph("block", 0)
    start = x = graph.input("input", (batch, channels, size, size))
    if widened:
        x = activation(graph, graph.conv(x, widened, kernel=1))
    deep = x.shape[1]
    if dilation > 1:
        weight, bias = graph.weight("w", (deep, 1, 3, 3), 0.3), graph.weight("b", (deep,), 0.1)
        options = {"dilations": [dilation] * 2, "pads": [dilation] * 4, "kernel_shape": [3, 3]}
        x = graph.node("Conv", (x, weight, bias), x.shape, group=deep, **options)
    else:
        x = graph.conv(x, deep, kernel=kernel, stride=stride, padding=kernel // 2, groups=deep)
    x = graph.conv(activation(graph, x), outputs, kernel=1)
    if residual:
        x = graph.add(x, start)
    return graph.model(x)


BLOCKS = {
    "pair": block(),
    "pair of stride 2": block(size=9, stride=2, outputs=24),
    "widened": block(widened=32),
    "widened, stride 2": block(widened=48, stride=2, outputs=8),
    "residual": block(widened=32, residual=True),
    "5x5": block(widened=32, kernel=5),
    "channels without a vector": block(size=7, channels=5, widened=19, outputs=7),
    "batch": block(batch=3, widened=32),
    "pair, 24 channels": block(channels=24),
    "pair, dilated": block(dilation=2),
    "pair of one row": block(size=1),
    "hard swish": block(widened=32, activation=hard_swish),
}


def lowered(model: onnx.ModelProto, folder: Path) -> tvm.IRModule:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return fuse(lay_out(import_model(path).module, TARGET), TARGET)


def called(module: tvm.IRModule) -> list[str]:
    bindings = [b for block in module["main"].body.blocks for b in block.bindings]
    names = (b.value.args[0].name_hint for b in bindings if is_kernel_call(b.value))
    return [name.rstrip("0123456789") for name in names if "transpose" not in name]


def outputs_of(module: tvm.IRModule, *inputs: np.ndarray) -> np.ndarray:
    compiled = finish(module, TARGET)
    machine = relax.VirtualMachine(compiled.executable, tvm.cpu())
    given = [tvm.runtime.tensor(array) for array in inputs]
    return machine["main"](*given, *compiled.weights).numpy()


def agrees(found: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", BLOCKS)
def test_every_sketch_computes_what_the_kernels_do(name: str, tmp_path: Path) -> None:
    plain = lowered(BLOCKS[name], tmp_path)
    merged = merge_separable(plain, ALWAYS)
    assert called(merged) == ["inverted_residual" if "pair" not in name else "separable_conv2d"]
    tasks, spaces = extract_tasks(merged, TARGET)
    task = next(t for t in tasks if t.name.startswith(("inverted", "separable")))
    space, rng = spaces[task.key], np.random.default_rng(0)
    assert len(space.design.sketches) == (1 if "pair" in name else 2)
    shape = [int(extent) for extent in plain["main"].params[0].ty.shape.values]
    x = rng.standard_normal(shape).astype("float32")
    wanted = outputs_of(plain, x)
    left = Counter(dict.fromkeys(range(len(space.design.sketches)), 2))
    for configuration in space.design.configurations(space.design.sample(60, rng)):
        if left[configuration.sketch] > 0:
            winners = {task.key: Finalist(task, configuration)}
            chosen = apply_winners(merged, {}, spaces, winners)  # none is refused
            left[configuration.sketch] -= 1
            assert agrees(outputs_of(chosen, x), wanted)
    assert not left.total()


@pytest.mark.parametrize("name", ["pair", "widened", "residual", "batch"])
def test_any_number_of_rows_can_be_done_at_once(name: str, tmp_path: Path) -> None:
    tasks, spaces = extract_tasks(merge_separable(lowered(BLOCKS[name], tmp_path), ALWAYS), TARGET)
    space = next(spaces[t.key] for t in tasks if t.name.startswith(("inverted", "separable")))
    rows = space.design.sample(1, np.random.default_rng(0)).repeat(4, axis=0)
    for sketch in range(len(space.design.sketches)):
        rows[:, 0], rows[:, 1] = sketch, range(4)  # the first knob: 8, 4, 2, 1 rows at once
        configurations = space.design.configurations(space.design.canonical(rows))
        found = {space.replay(configuration).structural_hash for configuration in configurations}
        assert len(found) == 4


def gated(rng: np.random.Generator) -> tvm.IRModule:
    """A depthwise convolution times a gate, channels last, whose gate is read first."""

    def weight(*shape: int) -> relax.Constant:
        return relax.const(rng.standard_normal(shape).astype("float32"))

    def conv(x: relax.Expr, w: relax.Constant, **options: int) -> relax.Expr:
        layout = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
        return builder.emit(relax.op.nn.conv2d(x, w, **layout, **options))

    builder = relax.BlockBuilder()
    x, gate = (relax.Var(n, relax.TensorType([1, 8, 8, 16], "float32")) for n in ("x", "gate"))
    with builder.function("main", [x, gate]):
        with builder.dataflow():
            y = conv(x, weight(3, 3, 1, 16), padding=1, groups=16)
            y = builder.emit(relax.op.multiply(builder.emit(relax.op.exp(gate)), y))
            y = conv(y, weight(1, 1, 16, 16))
            y = builder.emit_output(relax.op.add(y, weight(1, 1, 1, 16)))
        builder.emit_func_output(y)
    return builder.get()


def test_a_side_branch_that_comes_first_is_found() -> None:
    rng = np.random.default_rng(0)
    plain = fuse(lay_out(gated(rng), TARGET), TARGET)
    merged = merge_separable(plain, ALWAYS)
    assert called(merged) == ["separable_conv2d"]
    ((task,), spaces) = extract_tasks(merged, TARGET)
    (configuration,) = spaces[task.key].design.configurations(
        spaces[task.key].design.sample(1, rng)
    )
    chosen = apply_winners(merged, {}, spaces, {task.key: Finalist(task, configuration)})
    inputs = rng.standard_normal((2, 1, 8, 8, 16)).astype("float32")
    assert agrees(outputs_of(chosen, *inputs), outputs_of(plain, *inputs))


def unmerged() -> dict[str, onnx.ModelProto]:
    """Networks that hold no such convolution, though some look like it."""
    models = {}
    names = ("read twice", "as a residual", "3x3 follows", "grouped", "multiplied", "strided 1x1")
    for name in (*names, "bare"):
        graph = Graph("other", 0)
        x = graph.input("input", (1, 16, 8, 8))
        groups, made = 8 if name == "grouped" else 16, 32 if name == "multiplied" else 16
        x = graph.relu(graph.conv(x, made, kernel=3, padding=1, groups=groups))
        if name == "as a residual":
            pooled = graph.max_pool(x, kernel=3, stride=1, padding=1)
            y = graph.add(graph.conv(pooled, 16, kernel=1), x)
        elif name == "3x3 follows":
            y = graph.conv(x, 16, kernel=3, padding=1)
        elif name == "strided 1x1":
            y = graph.conv(x, 16, kernel=1, stride=2)
        elif name == "bare":
            weight = graph.weight("bare", (16, 16, 1, 1), 0.1)
            y = graph.node("Conv", (x, weight), x.shape, kernel_shape=[1, 1])
        else:
            y = graph.conv(x, made, kernel=1)
        models[name] = graph.model(graph.add(y, x) if name == "read twice" else y)
    return models


UNMERGED = unmerged()


@pytest.mark.parametrize("name", UNMERGED)
def test_others_stay_as_they_are(name: str, tmp_path: Path) -> None:
    plain = lowered(UNMERGED[name], tmp_path)
    assert merge_separable(plain, ALWAYS) is plain


def test_only_what_leaves_the_caches_is_merged(tmp_path: Path) -> None:
    model = block(widened=32)  # both images have 8 KiB
    plain = lowered(model, tmp_path)
    image = 8 * 8 * 32 * 4
    inverted, pair = ["inverted_residual"], ["separable_conv2d"]
    assert called(merge_separable(plain, Caches(image // 2 - 1, 2))) == inverted
    assert called(merge_separable(plain, Caches(image // 2, 2)))[1:] == pair
    assert called(merge_separable(plain, Caches(4 * image - 1, 2)))[1:] == pair
    assert called(merge_separable(plain, Caches(4 * image, 2))) == called(plain)


def test_a_kernel_is_in_one_chain(tmp_path: Path) -> None:
    graph = Graph("mobilenet_v1", 0)
    x = graph.input("input", (1, 16, 8, 8))
    for channels in (32, 48):
        x = graph.relu(graph.conv(x, x.shape[1], kernel=3, padding=1, groups=x.shape[1]))
        x = graph.relu(graph.conv(x, channels, kernel=1))
    plain = lowered(graph.model(x), tmp_path)
    assert called(merge_separable(plain, ALWAYS)) == ["separable_conv2d"] * 2


def test_equal_blocks_are_one_task_and_all_others_keep_their_keys(tmp_path: Path) -> None:
    graph = Graph("blocks", 0)
    x = graph.relu(graph.conv(graph.input("input", (1, 16, 8, 8)), 16, kernel=1))
    for _ in range(2):
        y = graph.relu(graph.conv(x, 32, kernel=1))
        y = graph.relu(graph.conv(y, 32, kernel=3, padding=1, groups=32))
        x = graph.add(graph.conv(y, 16, kernel=1), x)
    plain = lowered(graph.model(graph.conv(x, 24, kernel=3, padding=1)), tmp_path)
    before, _ = extract_tasks(plain, TARGET)
    after, _ = extract_tasks(merge_separable(plain, ALWAYS), TARGET)
    merged = [task for task in after if task.name.startswith("inverted_residual")]
    assert [task.weight for task in merged] == [2]
    kept = {task.key for task in after} - {merged[0].key}
    assert kept < {task.key for task in before}
    assert len(kept) == len(before) - 3


def test_the_last_blocks_of_mobilenet_stay_apart(tmp_path: Path) -> None:
    plain = lowered(build("mobilenet_v2"), tmp_path)
    names = called(merge_separable(plain, Caches(2**20, 2)))
    found = [name for name in names if name.startswith(("separable", "inverted"))]
    assert found == ["separable_conv2d", "inverted_residual", *["separable_conv2d"] * 10]
    assert len(called(plain)) - len(names) == 2 + 11


@pytest.mark.parametrize("name", ["pair", "residual"])
def test_something_is_known_of_them_before_they_are_measured(name: str, tmp_path: Path) -> None:
    tasks, _ = extract_tasks(merge_separable(lowered(BLOCKS[name], tmp_path), ALWAYS), TARGET)
    merged = [task for task in tasks if task.name.startswith(("inverted", "separable"))]
    assert merged
    assert all(prior.shipped(task.space.feature_names, task.vector_bits) for task in merged)


def test_a_gpu_gets_the_kernels_as_they_are(tmp_path: Path) -> None:
    onnx.save(block(size=128, channels=64), tmp_path / "model.onnx")
    program = import_model(tmp_path / "model.onnx")
    target = resolve_target("cuda -arch=sm_90", 2)
    tasks = [prepare(program, target, 2, without).tasks for without in (NEITHER, MERGING)]
    assert [task.key for task in tasks[0]] == [task.key for task in tasks[1]]


def test_a_network_whose_merged_kernels_have_no_space_has_its_parts(tmp_path: Path) -> None:
    onnx.save(block(size=128, channels=64), tmp_path / "model.onnx")
    program = import_model(tmp_path / "model.onnx")
    parts = [task.key for task in prepare(program, TARGET, 2, NEITHER).tasks]
    assert [task.key for task in prepare(program, TARGET, 2, MERGING).tasks] != parts

    def refuse(schedule: object, block: object) -> None:
        raise IndexError("no such loop")

    register(rules.SEPARABLE_RULE, refuse)
    try:
        network = prepare(program, TARGET, 2, MERGING)
    finally:
        register(rules.SEPARABLE_RULE, rules.separable_sketches)
    assert [task.key for task in network.tasks] == parts


def test_a_kernel_whose_outermost_block_has_another_name_is_let_be() -> None:
    data = te.placeholder((4,), name="data")

    def body(inputs: list[tirx.Buffer], outputs: list[tirx.Buffer]) -> tirx.Stmt:
        return tirx.Evaluate(tirx.call_extern("int32", "mine", inputs[0].data, outputs[0].data))

    made = te.extern([(4,)], [data], body, name="mine", dtype="float32")
    function = te.create_prim_func([data, made])
    assert str(function.body.block.name_hint) == "mine"
    assert kind_of(function) is Kind.OTHER
