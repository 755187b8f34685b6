"""Calls of a library: from several threads, after a fork, and with every kind of value."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from tvm import relax
from tvm.script import tirx as T  # noqa: N812

from chameleon_tuner.backends.tvm.deploy.build import build_libraries
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.deploy.runtime import Code
from chameleon_tuner.backends.tvm.deploy.usage import usage
from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.lower import code
from chameleon_tuner.backends.tvm.network import open_target, prepare
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.core.errors import LibraryError, ModelError

DTYPES = (
    *("bool", "float16", "bfloat16", "float32", "float64"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def built(model: Any, folder: Path) -> Library:
    folder.mkdir(exist_ok=True)
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, folder / "model.onnx")
        model = folder / "model.onnx"
    network = prepare(import_model(model), open_target("auto", 2), 2, registered())
    build_libraries([network], {}, folder)
    return Library(folder)


def graph(
    nodes: Sequence[Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    **constants: Sequence[float],
) -> onnx.ModelProto:
    """Return a model whose values have shape (2,)."""

    def values(names: Sequence[str]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in names]

    made = [helper.make_tensor(n, TensorProto.FLOAT, [2], v) for n, v in constants.items()]
    return helper.make_model(
        helper.make_graph(nodes, "graph", values(inputs), values(outputs), made),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )


def relax_module(dtype: str, shape: Sequence[int], compute: Any) -> Any:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, dtype))
    with builder.function("main", [x]):
        with builder.dataflow():
            output = builder.emit_output(compute(builder, x))
        builder.emit_func_output(output)
    return builder.get()


@T.prim_func(s_tir=True)
def _parallel(x: T.Buffer((4096,), "float32"), y: T.Buffer((4096,), "float32")):  # type: ignore[no-untyped-def]
    for i in T.parallel(4096):
        with T.sblock("y"):
            v = T.axis.spatial(4096, i)
            y[v] = x[v] * T.float32(3)


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose kernel runs on two threads of its own."""
    folder = tmp_path_factory.mktemp("parallel")
    built(_parallel, folder)
    assert b"TVMBackendParallelLaunch" not in (folder / "model.so").read_bytes()
    assert Code(folder / "model.so").own_threads
    return folder


@pytest.fixture(scope="module")
def on_tvms_threads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same where no tool renames symbols: its kernel runs on two threads of TVM's runtime."""
    folder = tmp_path_factory.mktemp("parallel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "renamer", lambda: None)
        built(_parallel, folder)
    assert b"TVMBackendParallelLaunch" in (folder / "model.so").read_bytes()
    assert not Code(folder / "model.so").own_threads
    return folder


# -- threads


def test_threads_call_a_library_at_once(tiny_onnx: Path, tmp_path: Path) -> None:
    """A single virtual machine mixes them up, or fails."""
    library = built(tiny_onnx, tmp_path)
    inputs = [library.random_inputs(seed) for seed in range(8)]
    expected = [library(given)["output"] for given in inputs]

    def call(number: int) -> bool:
        return np.array_equal(library(inputs[number % 8])["output"], expected[number % 8])

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(call, range(400)))


@pytest.mark.parametrize("folder", ["parallel", "on_tvms_threads"])
def test_threads_call_a_library_of_parallel_kernels_and_time_it(
    folder: str, request: pytest.FixtureRequest
) -> None:
    library = Library(request.getfixturevalue(folder))

    def call(number: int) -> bool:
        x = np.full(4096, number, "float32")
        return bool((library({"arg0": x})["output0"] == 3 * x).all())

    with ThreadPoolExecutor(5) as executor:
        timing = executor.submit(library.time, library.random_inputs(0), 0.01)
        assert all(executor.map(call, range(200)))
        assert timing.result() > 0.0


# -- forks

FORK = """
import os, signal, sys, threading, time
from pathlib import Path
import chameleon_tuner.backends.tvm
from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.core.errors import LibraryError

library = Library(Path(sys.argv[1]))
x = library.random_inputs(0)
{before}
if os.fork() == 0:
    signal.alarm(30)  # instead of hanging
    try:
        {within}
        print("ran", flush=True)
    except LibraryError as error:
        print(error, flush=True)
    {leave}
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize(
    ("before", "within", "said"),
    [
        ("", "library(x)", "ran"),
        ("", "Library(Path(sys.argv[1]))(x)", "ran"),
        ("library(x)", "pass", "ran"),
        ("library(x)", "library(x)", "forked"),
        ("library(x)", "Library(Path(sys.argv[1]))(x)", "forked"),
        ("library.time(x, 0.0)", "library.time(x, 0.0)", "forked"),
        ("library(x)", "library.instrumented(x, lambda *_: 0)", "forked"),
        ("library.instrumented(x, lambda *_: 0)", "library(x)", "forked"),
        (
            "t = threading.Thread(target=library, args=(x,)); t.start(); t.join()",
            "library(x)",
            "ran",
        ),
    ],
)
def test_a_fork(before: str, within: str, said: str, on_tvms_threads: Path) -> None:
    """TVM keeps threads for every thread that has run a kernel, and a fork leaves them behind."""
    answer = forked(before, within, on_tvms_threads)
    if said == "ran":
        assert answer == "ran"
    else:
        assert "this process was forked from one that had run a library" in answer
        assert "fork before the first call, or start the process with spawn" in answer


@pytest.mark.parametrize("within", ["pass", "library(x)", "library.time(x, 0.0); library(x)"])
@pytest.mark.parametrize("before", ["library(x)", "library(x); time.sleep(0.1)"])
def test_a_fork_of_a_process_that_has_run_a_library_with_own_threads(
    before: str, within: str, parallel: Path
) -> None:
    """It also ends like any process, without the threads that it never had."""
    assert forked(before, within, parallel, "sys.exit(0)") == "ran"


def test_a_fork_that_starts_threads_of_its_own(parallel: Path) -> None:
    within = "t = threading.Thread(target=library, args=(x,)); t.start(); t.join()"
    assert forked("library(x)", within, parallel, "sys.exit(0)") == "ran"


def forked(before: str, within: str, folder: Path, leave: str = "os._exit(0)") -> str:
    """Return what a fork said that ran some code after its parent ran other code."""
    script = FORK.format(before=before, within=within, leave=leave)
    # From Python 3.12 on a fork beside threads is a warning.
    command = [sys.executable, "-W", "ignore", "-c", script, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer, status = done.stdout.splitlines()
    assert status == "0"
    return answer


# -- values


@pytest.mark.parametrize(
    ("operator", "limits"), [("Relu", []), ("Clip", [0.0, 6.0]), ("Max", [1.0]), ("Min", [1.0])]
)
def test_a_limit_keeps_nan(operator: str, limits: list[float], tmp_path: Path) -> None:
    names = [f"limit{number}" for number in range(len(limits))]
    model = graph([helper.make_node(operator, ["x", *names], ["y"])], ["x"], ["y"])
    model.graph.initializer.extend(
        helper.make_tensor(name, TensorProto.FLOAT, [], [limit])
        for name, limit in zip(names, limits, strict=True)
    )
    onnx.save(model, tmp_path / "same.onnx")
    same = onnxruntime.InferenceSession(tmp_path / "same.onnx", providers=["CPUExecutionProvider"])
    library = built(model, tmp_path / "built")
    for values in ([np.nan, 7], [-np.inf, np.nan], [np.inf, -3]):
        x = np.array(values, np.float32)
        np.testing.assert_array_equal(library({"x": x})["y"], same.run(None, {"x": x})[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_passes_as_it_is(dtype: str, tmp_path: Path) -> None:
    def twice(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.concat([x, x], 0))

    library = built(relax_module(dtype, (3,), twice), tmp_path)
    x = np.array([0, 1, 1]).astype(dtype)
    [y] = library({"x": x}).values()
    assert y.dtype == np.dtype(dtype)
    assert y.tolist() == [*x.tolist(), *x.tolist()]
    given = library.random_inputs(0)["x"]
    assert (given.dtype, given.shape) == (np.dtype(dtype), (3,))
    assert given.astype("float64").any()


@pytest.mark.parametrize("dtype", ["bool", "float32", "int64"])
def test_scalars(dtype: str, tmp_path: Path) -> None:
    def compute(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.logical_or(x, x) if dtype == "bool" else relax.op.add(x, x))

    library = built(relax_module(dtype, (), compute), tmp_path)
    [y] = library({"x": np.ones((), dtype)}).values()
    assert (y.shape, y.dtype) == ((), np.dtype(dtype))
    assert y == (1 if dtype == "bool" else 2)
    [z] = library({"x": np.ones((), dtype).item()}).values()
    assert z == y
    assert library.random_inputs(0)["x"].shape == ()


def test_values_that_an_integer_cannot_hold_are_refused(tmp_path: Path) -> None:
    def twice(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.concat([x, x], 0))

    library = built(relax_module("int8", (2,), twice), tmp_path)
    [y] = library({"x": np.array([-128, 127])}).values()
    assert y.tolist() == [-128, 127, -128, 127]
    with pytest.raises(LibraryError, match="input 'x' has values that int8 cannot hold"):
        library({"x": np.array([0, 128])})
    with pytest.raises(LibraryError, match="input 'x' has dtype float64, not int8"):
        library({"x": np.array([0.0, 1.0])})


RELU = [helper.make_node("Relu", ["x"], ["y"])]
X, Y = [-1.0, 2.0], [0.0, 2.0]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (graph(RELU, ["x"], ["x", "y"]), {"x": X, "y": Y}),
        (graph(RELU, ["x"], ["c", "y"], c=[5.0, 6.0]), {"c": [5.0, 6.0], "y": Y}),
        (graph(RELU, [], ["y"], x=X), {"y": Y}),
    ],
    ids=["an output is an input", "an output is a constant", "no inputs"],
)
def test_unusual_graphs(
    model: onnx.ModelProto, expected: dict[str, Sequence[float]], tmp_path: Path
) -> None:
    library = built(model, tmp_path)
    x = np.array(X, "float32")
    given = {"x": x} if library.manifest.inputs else {}
    outputs = library(given)
    assert {name: output.tolist() for name, output in outputs.items()} == expected
    assert {*library.random_inputs(0)} == {*given}
    for output in outputs.values():
        output += 1  # it is the caller's own
    assert x.tolist() == X
    assert {name: output.tolist() for name, output in library(given).items()} == expected


@pytest.mark.parametrize(
    "returned",
    [
        lambda builder, x: relax.Tuple([relax.Tuple([builder.emit(relax.op.nn.relu(x)), x]), x]),
        lambda builder, x: relax.ShapeExpr([2, 3]),
        lambda builder, x: relax.prim_value(3),
    ],
    ids=["nested tuple", "shape", "number"],
)
def test_what_is_no_tensor_is_refused_before_it_is_tuned(returned: Any) -> None:
    with pytest.raises(ModelError, match="'output0' is no tensor"):
        import_model(relax_module("float32", (2,), returned))


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "int64"])
def test_the_script_with_nothing_but_the_runtime_runs(dtype: str, tmp_path: Path) -> None:
    def compute(builder: Any, x: Any) -> Any:
        return builder.emit(relax.op.reshape(x, (1,)))

    library = built(relax_module(dtype, (), compute), tmp_path)
    script = "\n".join(usage(library.manifest, tmp_path)).split("```python\n")[1].split("```")[0]
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ("[False]" if dtype == "bool" else "[0") in done.stdout
