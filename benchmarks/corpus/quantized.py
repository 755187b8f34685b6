"""Networks of the corpus in int8 and float16, by the tools that come with onnxruntime."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from language import bert_base_4
from registry import Arrays, Example, example, register
from torch_export import image, write_example


class Samples:
    """Inputs for a calibration, as onnxruntime reads them."""

    def __init__(self, inputs: Arrays, count: int = 4) -> None:
        random = np.random.default_rng(0)
        self.left: Iterator[Arrays] = iter(
            [
                {name: random.permuted(array, axis=-1) for name, array in inputs.items()}
                for _ in range(count)
            ]
        )

    def get_next(self) -> Arrays | None:
        """Return the next inputs, or nothing at the end."""
        return next(self.left, None)


def resnet18() -> Example:
    """Build ResNet-18."""
    import torchvision

    return Example(torchvision.models.resnet18(), {"x": image()})


def mobilenet_v2() -> Example:
    """Build MobileNet v2."""
    import torchvision

    return Example(torchvision.models.mobilenet_v2(), {"x": image()})


def dynamic(source: Path, target: Path, _: Arrays) -> None:
    """Quantize weights; activations are quantized as they come."""
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(source, target)


def static(source: Path, target: Path, inputs: Arrays, style: str = "QDQ") -> None:
    """Quantize weights and activations, whose ranges are observed."""
    from onnxruntime.quantization import QuantFormat, quantize_static

    quantize_static(
        source, target, Samples(inputs), quant_format=QuantFormat[style], per_channel=style == "QDQ"
    )


def half(source: Path, target: Path, _: Arrays) -> None:
    """Convert a network to float16 with inputs and outputs of float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


Conversion = Callable[[Path, Path, Arrays], None]

CONVERTED: dict[str, tuple[Callable[[], Example], Conversion]] = {
    "resnet18_int8_qdq": (resnet18, static),
    "resnet18_int8_operators": (resnet18, partial(static, style="QOperator")),
    "resnet18_int8_dynamic": (resnet18, dynamic),
    "mobilenet_v2_int8_qdq": (mobilenet_v2, static),
    "bert_base_4_int8_dynamic": (bert_base_4, dynamic),
    "bert_base_4_int8_qdq": (bert_base_4, static),
    "bert_base_4_float16": (bert_base_4, half),
    "mobilenet_v2_float16": (mobilenet_v2, half),
}
"""By name: the network in float32, and what is done to it."""


def write_converted(name: str, path: Path, _: Path) -> tuple[Arrays, str]:
    """Write a converted network.

    Args:
        name: One of `CONVERTED`.
        path: The file.

    Returns:
        The inputs, and how it was made.
    """
    build, convert = CONVERTED[name]
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "float32.onnx"
        inputs, how = write_example(build(), source)
        convert(_prepared(source), path, inputs)
    kind: Any = getattr(convert, "func", convert)
    return inputs, f"{how}, onnxruntime {kind.__name__}"


def _prepared(source: Path) -> Path:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = source.with_name("prepared.onnx")
    quant_pre_process(source, target, skip_symbolic_shape=True)
    return target


for name in CONVERTED:
    family = "float16" if name.endswith("float16") else "int8"
    register(name, family, "onnxruntime.quantization", partial(write_converted, name))


@example("float16", "torchvision")
def resnet18_float16() -> Example:
    """Build ResNet-18 whose inputs and outputs are of float16, too."""
    made = resnet18()
    return Example(made.module.half(), {"x": made.inputs["x"].half()})
