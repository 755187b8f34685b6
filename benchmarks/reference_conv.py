"""The reference convolution (56x56x64, 3x3, NHWC): seconds a candidate, and against oneDNN.

    python benchmarks/reference_conv.py [--trials 200] [--budget 40s]

Tunes the convolution twice from nothing: with 200 trials, for the wall-clock of a candidate, and
with 40 s, for the latency. The tuned library and PyTorch's conv2d then run in turns, each in a
process of its own, and the ratio of their medians is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from chameleon_tuner.system.machine import usable_cores

ROUNDS, ROUND_SECS = 7, 0.5

TUNE = """
import json, sys
from chameleon_tuner.app.progress import Silent
from chameleon_tuner.system.clock import Stopwatch
from chameleon_tuner.app.options import Options
from chameleon_tuner.app.tune import run
from pathlib import Path
clock = Stopwatch(from_process_start=True)
sys.path.insert(0, sys.argv[3])
from reference_conv import convolution
options = Options(store=False, **json.loads(sys.argv[2]))
result = run(convolution(), Path(sys.argv[1]), options, Silent(), clock)
print(json.dumps(result.to_json()))
"""

TVM_SIDE = """
import sys
from pathlib import Path
import chameleon_tuner.backends.tvm
from chameleon_tuner.backends.tvm.deploy.library import Library
library = Library(Path(sys.argv[1]))
inputs = library.random_inputs(0)
library.time(inputs, 0.1)
for _ in sys.stdin:
    print(library.time(inputs, float(sys.argv[2])), flush=True)
"""

TORCH_SIDE = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
conv = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False).eval()
conv = conv.to(memory_format=torch.channels_last)
x = torch.randn(1, 64, 56, 56).to(memory_format=torch.channels_last)
def once(secs):
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < secs:
        conv(x)
        calls += 1
    return (time.perf_counter() - begin) / calls
with torch.inference_mode():
    once(0.1)
    for _ in sys.stdin:
        print(once(float(sys.argv[2])), flush=True)
"""


def convolution() -> object:
    """A Relax module of one conv2d, NHWC, its weights inside."""
    from tvm import relax

    import chameleon_tuner.backends.tvm  # noqa: F401 - TVM without torch

    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 3, 64, 64), dtype=np.float32)
    data = relax.Var("data", relax.TensorType((1, 56, 56, 64), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [data], attrs={"num_input": 1}):
        with builder.dataflow():
            call = relax.op.nn.conv2d(
                data, relax.const(weights), padding=1, data_layout="NHWC", kernel_layout="HWIO"
            )
            out = builder.emit_output(call)
        builder.emit_func_output(out)
    return builder.get()


def tuned(folder: Path, **options: object) -> dict[str, object]:
    """`summary.json` of a fresh process that tunes the convolution."""
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", TUNE, str(folder), json.dumps(options), here]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


class Contestant:
    """A process that times one side whenever it is asked."""

    def __init__(self, code: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def time(self) -> float:
        """Seconds of one call in the next round."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def against_onednn(folder: Path) -> None:
    """Print the medians of both sides, run in turns, and their ratio."""
    ours = Contestant(TVM_SIDE, str(folder), str(ROUND_SECS))
    theirs = Contestant(TORCH_SIDE, str(usable_cores()), str(ROUND_SECS))
    pairs = [(ours.time(), theirs.time()) for _ in range(ROUNDS)]
    ours.close()
    theirs.close()
    mine, onednn = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
    print(f"tuned {mine:.3f} ms, PyTorch's conv2d {onednn:.3f} ms, ratio {mine / onednn:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--budget", default="40s")
    parser.add_argument("--recipe", default="chameleon")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    common = {"recipe": asked.recipe, "seed": asked.seed}
    with tempfile.TemporaryDirectory() as folder:
        summary = tuned(Path(folder) / "trials", trials=asked.trials, **common)
        seconds, attempted = summary["seconds"], summary["trials"]["attempted"]
        print(f"{attempted} candidates: {json.dumps(seconds)}")
        searching = seconds["explore"] + seconds["sample"] + seconds["fit"]
        print(f"seconds a candidate, all in: {seconds['total'] / attempted:.3f}")
        print(f"exploring, sampling, fitting: {searching / seconds['total']:.1%} of the time")
        against_onednn(Path(folder) / "trials")
        summary = tuned(Path(folder) / "time", trials=100_000, time_budget=asked.budget, **common)
        print(
            f"{asked.budget}: {summary['trials']['attempted']} candidates, "
            f"{summary['seconds']['total']:.1f} s in all"
        )
        against_onednn(Path(folder) / "time")


if __name__ == "__main__":
    main()
