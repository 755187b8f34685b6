"""The paper's layers, each as a model of its own: what users get of `tune` and of MetaSchedule.

    python benchmarks/layers.py OUT [--seconds 60] [--minutes 4] [--layers resnet18-6,...]

A comparison gives all tuners one space; here `chameleon tune` has its own, with convolutions by
minimal filtering, and MetaSchedule its `tune_relax` (see `benchmarks/network.py`). Both libraries
are then timed side by side, the conversions of the layout at both ends included. What OUT has of
the same seconds and minutes is not tuned again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import geometric_mean, median

import onnx

from beside import turns_of
from chameleon_tuner.zoo.layers import PAPER, SHOWN, ConvLayer

HERE = Path(__file__).parent
ROUNDS = 15


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--minutes", type=int, default=4)
    parser.add_argument("--layers", default=",".join(sorted(SHOWN)))
    asked = parser.parse_args()
    layers = [layer for layer in PAPER if layer.name in asked.layers.split(",")]
    if not layers:
        parser.error(f"no such layer; there are {', '.join(layer.name for layer in PAPER)}")
    asked.out.mkdir(exist_ok=True)
    ratios = []
    for layer in layers:
        folders = tuned(layer, asked.out, asked.seconds), peer(layer, asked.out, asked.minutes)
        mine, theirs = map(median, zip(*turns_of(folders, ROUNDS), strict=True))
        ratios.append(mine / theirs)
        print(
            f"{layer.name}: {mine * 1e6:.4g} and {theirs * 1e6:.4g} us, {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"geomean {geometric_mean(ratios):.3f}")


def tuned(layer: ConvLayer, out: Path, seconds: int) -> Path:
    """The folder of `chameleon tune`."""
    folder = out / f"{layer.name}.tune-{seconds}s"
    if not (folder / "summary.json").exists():
        chameleon = str(Path(sys.executable).with_name("chameleon"))
        options = ["--out", str(folder), "--time-budget", f"{seconds}s", "--quiet", "--no-store"]
        _run([chameleon, "tune", _model(layer, out), *options])
    return folder


def peer(layer: ConvLayer, out: Path, minutes: int) -> Path:
    """The folder of MetaSchedule; one that was interrupted begins anew."""
    whole = out / f"{layer.name}.metaschedule-{minutes}m"
    folder = whole / f"{minutes}m"
    if not (folder / "manifest.json").exists():
        shutil.rmtree(whole, ignore_errors=True)
        options = ["--minutes", str(minutes), "--a-round", "64"]
        _run([sys.executable, str(HERE / "network.py"), _model(layer, out), str(whole), *options])
    return folder


def _model(layer: ConvLayer, out: Path) -> str:
    path = out / f"{layer.name}.onnx"
    onnx.save(layer.model(), path)
    return str(path)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
