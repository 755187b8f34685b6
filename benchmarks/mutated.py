"""Tune damaged and nonsensical ONNX files: every one has to end in exit code 0, 2 or 3.

    python benchmarks/mutated.py [--count 500] [--seed 0] [--models A.onnx B.onnx ...]

Bits are flipped, files cut, attributes, dimensions and types changed, and nodes rewired. Each file
is tuned with a single trial, in a process of its own with a limit of time. What ends otherwise is
kept in `--keep`, and the last lines count the ends.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LIMIT_SECS = 150
ALLOWED = (0, 2, 3)


def main() -> int:
    """Tune the mutants, and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--models", type=Path, nargs="*", default=[])
    parser.add_argument("--keep", type=Path, default=Path("mutated-failures"))
    options = parser.parse_args()
    originals = [path.read_bytes() for path in options.models] or [
        model.SerializeToString() for model in small_models()
    ]
    rng = random.Random(options.seed)  # noqa: S311 - no secrets
    ends = collections.Counter[str]()
    import chameleon_tuner.app.tune
    import chameleon_tuner.backends.tvm.project
    import chameleon_tuner.cli.app  # noqa: F401 - every child has them loaded

    for number in range(options.count):
        name, content = mutant(rng.choice(originals), rng)
        end = tuned(content)
        ends[end.partition(":")[0]] += 1
        if not end.startswith("exit 0") and not end.startswith("exit 2"):
            print(f"{number} {name}: {end}", flush=True)
        if not end.startswith(tuple(f"exit {code}" for code in ALLOWED)):
            options.keep.mkdir(exist_ok=True)
            (options.keep / f"{options.seed}-{number}-{name}.onnx").write_bytes(content)
    for end, count in ends.most_common():
        print(f"{count:4} {end}")
    good = sum(ends[f"exit {code}"] for code in ALLOWED)
    print(f"{good} of {options.count} ended as they should")
    return 0 if good == options.count else 1


def tuned(content: bytes) -> str:
    """Tune a model in a forked process, and return how that ended."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "model.onnx").write_bytes(content)
        child = os.fork()
        if child == 0:
            _tune(folder)
        code = _waited(child)
        said = (folder / "said").read_text(errors="replace")
    if code is None:
        return f"hang: more than {LIMIT_SECS} s"
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    if "Traceback" in said:
        return f"traceback: {said.strip().splitlines()[-1][:200]}"
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    if code == 2 and len(errors) != 1:
        return f"{len(errors)} error lines: {said[-200:]}"
    return f"exit {code}: {errors[0][:200] if errors else ''}"


def _tune(folder: Path) -> None:
    """Run the command, and end this process with its exit code."""
    from chameleon_tuner.cli.app import main as chameleon

    os.setsid()
    with (folder / "said").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    code = 1
    try:
        code = chameleon(
            [
                "tune",
                str(folder / "model.onnx"),
                "--out",
                str(folder / "out"),
                "--trials",
                "1",
                "--no-store",
            ]
        )
        sys.stdout.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _waited(child: int) -> int | None:
    deadline = time.monotonic() + LIMIT_SECS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


# -- mutations


def mutant(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return a changed model, and what was done to it."""
    change = rng.choice([bits, cut, attribute, dims, types, rewired, operator])
    return change.__name__, change(content, rng)


def bits(content: bytes, rng: random.Random) -> bytes:
    """Flip some bits."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 3, 20])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return content[: rng.randrange(len(content))]


def _changed(change: Callable[[onnx.GraphProto, random.Random], None]):
    def changed(content: bytes, rng: random.Random) -> bytes:
        model = onnx.ModelProto.FromString(content)
        change(model.graph, rng)
        return model.SerializeToString()

    changed.__name__ = change.__name__.strip("_")
    return changed


def _attribute(graph: onnx.GraphProto, rng: random.Random) -> None:
    nodes = [node for node in graph.node if node.attribute]
    if not nodes:
        return
    node = rng.choice(nodes)
    found = rng.choice(node.attribute)
    odd = rng.choice([0, -1, 2**31, -(2**63), 7, 1000])
    if found.ints:
        found.ints[rng.randrange(len(found.ints))] = odd
    elif found.type == onnx.AttributeProto.INT:
        found.i = odd
    elif found.type == onnx.AttributeProto.FLOAT:
        found.f = rng.choice([0.0, float("nan"), float("inf"), -1e30])
    else:
        node.attribute.remove(found)


def _dims(graph: onnx.GraphProto, rng: random.Random) -> None:
    values = [v.type.tensor_type.shape for v in (*graph.input, *graph.output)]
    dims = [dim for shape in values for dim in shape.dim]
    if dims and rng.random() < 0.6:
        rng.choice(dims).dim_value = rng.choice([0, -1, 1, 3, 2**40])
    elif graph.initializer:
        tensor = rng.choice(graph.initializer)
        if tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice([0, -1, 1, 5, 2**40])


def _types(graph: onnx.GraphProto, rng: random.Random) -> None:
    kinds = [TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL, TensorProto.FLOAT16, 0, 99]
    if graph.initializer and rng.random() < 0.5:
        rng.choice(graph.initializer).data_type = rng.choice(kinds)
    else:
        value = rng.choice([*graph.input, *graph.output])
        value.type.tensor_type.elem_type = rng.choice(kinds)


def _rewired(graph: onnx.GraphProto, rng: random.Random) -> None:
    names = [n for node in graph.node for n in (*node.input, *node.output)] + ["nothing", ""]
    node = rng.choice(graph.node)
    if node.input and rng.random() < 0.8:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    else:
        node.output[0] = rng.choice(names)


def _operator(graph: onnx.GraphProto, rng: random.Random) -> None:
    kinds = [
        "Add",
        "MatMul",
        "Conv",
        "Relu",
        "Squeeze",
        "Gather",
        "Concat",
        "Loop",
        "LSTM",
        "TopK",
        "Resize",
        "Nonsense",
    ]
    rng.choice(graph.node).op_type = rng.choice(kinds)


attribute, dims, types = _changed(_attribute), _changed(_dims), _changed(_types)
rewired, operator = _changed(_rewired), _changed(_operator)


# -- what is changed


def small_models() -> list[onnx.ModelProto]:
    """Return models of every kind of operator that is quick to tune."""
    return [_convolutional(), _recurrent(), _attending(), _shaping()]


def _model(nodes: list[str], inputs: str, outputs: str, **weights: tuple[int, ...]):
    rng = np.random.default_rng(0)
    text = (
        f'<ir_version: 9, opset_import: ["" : 17]> g ({inputs}) => ({outputs}) '
        f"{{ {' '.join(nodes)} }}"
    )
    model = onnx.parser.parse_model(text)
    for name, shape in weights.items():
        array = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


def _convolutional() -> onnx.ModelProto:
    nodes = [
        "a = Conv <pads = [1, 1, 1, 1]> (x, w)",
        "b = Relu (a)",
        "c = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (b)",
        "d = GlobalAveragePool (c)",
        "e = Flatten (d)",
        "y = Gemm <transB = 1> (e, v)",
    ]
    return _model(nodes, "float[1,3,8,8] x", "float[1,5] y", w=(4, 3, 3, 3), v=(5, 4))


def _recurrent() -> onnx.ModelProto:
    nodes = ["h, last = GRU <hidden_size = 4> (x, w, r)", "y = Relu (last)"]
    return _model(nodes, "float[5,1,3] x", "float[1,1,4] y", w=(1, 12, 3), r=(1, 12, 4))


def _attending() -> onnx.ModelProto:
    nodes = [
        "q = MatMul (x, a)",
        "t = Transpose <perm = [0, 2, 1]> (q)",
        "s = MatMul (q, t)",
        "p = Softmax <axis = -1> (s)",
        "z = MatMul (p, q)",
        "y = LayerNormalization (z, scale)",
    ]
    return _model(nodes, "float[1,6,8] x", "float[1,6,8] y", a=(8, 8), scale=(8,))


def _shaping() -> onnx.ModelProto:
    model = _model(
        [
            "s = Shape (x)",
            "n = Gather (s, zero)",
            "m = Unsqueeze (n, zeros)",
            "t = Concat <axis = 0> (m, minus)",
            "r = Reshape (x, t)",
            "k, i = TopK (r, three)",
            "y = Add (k, k)",
        ],
        "float[2,3,4] x",
        "float[2,3] y, int64[2,3] i",
    )
    for name, value in (("zero", 0), ("zeros", [0]), ("minus", [-1]), ("three", [3])):
        array = np.asarray(value, np.int64)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
    return model


if __name__ == "__main__":
    shutil.rmtree("mutated-failures", ignore_errors=True)
    helper  # noqa: B018 - onnx.parser needs it loaded
    sys.exit(main())
