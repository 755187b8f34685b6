"""Resident memory of the main process and every worker over many trials.

    python benchmarks/memory.py [--trials 2000]

Prints the largest resident size of each process seen, sampled while it tunes ResNet-18.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import psutil

from chameleon_tuner import zoo
from chameleon_tuner.app.tune import tune


def watch(peaks: dict[str, int], stop: threading.Event) -> None:
    """Keep the largest resident size of this process, and of any of its children."""
    me = psutil.Process()
    while not stop.wait(0.2):
        sizes = {"main": me.memory_info().rss}
        for child in me.children(recursive=True):
            try:
                rss = child.memory_info().rss
            except psutil.Error:
                continue
            sizes["worker"] = max(sizes.get("worker", 0), rss)
        for name, size in sizes.items():
            peaks[name] = max(peaks.get(name, 0), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--network", default="resnet18")
    asked = parser.parse_args()
    peaks: dict[str, int] = {}
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(peaks, stop), daemon=True)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{asked.network}.onnx"
        zoo.save(asked.network, model)
        thread.start()
        result = tune(str(model), Path(folder) / "tuned", trials=asked.trials, store=False)
        stop.set()
        thread.join()
    print(
        f"{result.trials['attempted']} trials in {result.seconds['total']:.0f} s; "
        + ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sorted(peaks.items()))
    )


if __name__ == "__main__":
    main()
