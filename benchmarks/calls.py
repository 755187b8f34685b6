"""What a session costs beside the kernels: to load, and to call beside others.

    python benchmarks/calls.py

The model is a matrix product of 1 by 16 by 16. Rounds of calls of a session, of the bare virtual
machine and of onnxruntime take turns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import chameleon_tuner
from chameleon_tuner.app import deploy

ROUNDS, CALLS = 9, 5_000


LOADING = """
import sys, time
begin = time.perf_counter()
import chameleon_tuner
session = chameleon_tuner.Session(sys.argv[1])
secs = time.perf_counter() - begin
import numpy as np
session.run(None, {"x": np.ones((1, 16), "float32")})
# Not of getrusage, which counts what the process was forked from.
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(secs, int(peak) / 1024)
"""


def loading(folder: Path) -> tuple[float, float]:
    """Return the seconds until a session is loaded, and the MiB of the process after a call."""
    command = [sys.executable, "-c", LOADING, str(folder)]
    found = [subprocess.check_output(command, text=True).split() for _ in range(ROUNDS)]
    secs, mib = zip(*found, strict=True)
    return statistics.median(map(float, secs)), statistics.median(map(float, mib))


def model() -> onnx.ModelProto:
    """Return the model."""
    weight = numpy_helper.from_array(np.ones((16, 16), np.float32), "w")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "small", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def main() -> None:
    """Print the microseconds of a call."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.onnx"
        onnx.save(model(), path)
        vars(deploy)["_faster"] = lambda comparison: True  # also where onnxruntime is as fast
        chameleon_tuner.tune(path, Path(folder) / "tuned", trials=4, store=False)
        secs, mib = loading(Path(folder) / "tuned")
        print(f"import and load: {secs:.2f} s, {mib:.0f} MiB")
        session = chameleon_tuner.Session(Path(folder) / "tuned")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = session.threads
        other = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        feed = {"x": np.ones((1, 16), np.float32)}
        contestants: dict[str, Callable[[], Any]] = {
            "virtual machine": machine_of(session, feed),
            "session": lambda: session.run(None, feed),
            "onnxruntime": lambda: other.run(None, feed),
        }
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, call in contestants.items():
                begin = time.perf_counter()
                for _ in range(CALLS):
                    call()
                times[name].append((time.perf_counter() - begin) / CALLS)
    for name, mine in times.items():
        print(f"{name}: {1e6 * statistics.median(mine):.1f} us")


def machine_of(session: chameleon_tuner.Session, feed: dict[str, Any]) -> Callable[[], Any]:
    """Return a call of the virtual machine of a session, with tensors in place of arrays."""
    [variant] = session._library._variants
    return variant.code._mine().repeated(list(feed.values()))


if __name__ == "__main__":
    main()
