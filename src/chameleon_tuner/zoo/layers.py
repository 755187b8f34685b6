"""The convolutions of the paper's evaluation, each as a network of a single layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from chameleon_tuner.zoo.graph import RELU_GAIN, Graph


@dataclass(frozen=True)
class ConvLayer:
    """A square convolution of batch 1 without bias, as AutoTVM tunes it.

    Attributes:
        network: Name of the network that contains the layer.
        number: Number among the network's distinct convolutions, counted from 1 as in the paper.
        size: Height and width of the input in pixels.
        inputs: Channels of the input.
        channels: Channels of the output.
        kernel: Side of the window in pixels.
        stride: Stride of the window in pixels.
        calls: Number of times that the layer occurs in the network.
    """

    network: str
    number: int
    size: int
    inputs: int
    channels: int
    kernel: int = 3
    stride: int = 1
    calls: int = 1

    @property
    def name(self) -> str:
        """The name of the layer, such as `resnet18-6`."""
        return f"{self.network}-{self.number}"

    @property
    def padding(self) -> int:
        """The width of the zero padding on each side in pixels.

        AlexNet's first layer has 2. The padding of the others keeps the image size at stride 1.
        """
        return 2 if self.kernel == 11 else self.kernel // 2

    def model(self) -> onnx.ModelProto:
        """Return a model from "input", float32 (1, inputs, size, size), to "output"."""
        graph = Graph(self.name, seed=0)
        x = graph.input("input", (1, self.inputs, self.size, self.size))
        shape = (self.channels, self.inputs, self.kernel, self.kernel)
        weight = graph.weight("weight", shape, RELU_GAIN / math.sqrt(math.prod(shape[1:])))
        side = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return graph.model(
            graph.node(
                "Conv",
                (x, weight),
                (1, self.channels, side, side),
                kernel_shape=[self.kernel] * 2,
                strides=[self.stride] * 2,
                pads=[self.padding] * 4,
            )
        )


def _network(name: str, *rows: tuple[int, ...]) -> tuple[ConvLayer, ...]:
    return tuple(ConvLayer(name, number, *row) for number, row in enumerate(rows, start=1))


# Columns: size, inputs, channels, kernel, stride, calls.
PAPER = (
    *_network(
        "alexnet",
        (224, 3, 64, 11, 4),
        (27, 64, 192, 5),
        (13, 192, 384),
        (13, 384, 256),
        (13, 256, 256),
    ),
    *_network(
        "vgg16",
        (224, 3, 64),
        (224, 64, 64),
        (112, 64, 128),
        (112, 128, 128),
        (56, 128, 256),
        (56, 256, 256, 3, 1, 2),
        (28, 256, 512),
        (28, 512, 512, 3, 1, 2),
        (14, 512, 512, 3, 1, 3),
    ),
    *_network(
        "resnet18",
        (224, 3, 64, 7, 2),
        (56, 64, 64, 3, 1, 4),
        (56, 64, 64, 1),
        (56, 64, 128, 3, 2),
        (56, 64, 128, 1, 2),
        (28, 128, 128, 3, 1, 3),
        (28, 128, 256, 3, 2),
        (28, 128, 256, 1, 2),
        (14, 256, 256, 3, 1, 3),
        (14, 256, 512, 3, 2),
        (14, 256, 512, 1, 2),
        (7, 512, 512, 3, 1, 3),
    ),
)
"""The distinct convolutions of AlexNet (5), VGG-16 (9) and ResNet-18 (12) for 224x224 images.

The paper uses AutoTVM's ResNet-18. It has a 1x1 convolution beside its first block (number 3),
which torchvision's ResNet-18, and therefore the one of this zoo, does not have.
"""

SHOWN = {
    "alexnet-1",
    "alexnet-4",
    "vgg16-1",
    "vgg16-2",
    "vgg16-4",
    "resnet18-6",
    "resnet18-9",
    "resnet18-11",
}
"""The layers for which the paper shows individual results."""
