"""Plain and residual convolutional networks, in torchvision's layer shapes."""

from __future__ import annotations

import onnx

from chameleon_tuner.zoo.graph import LINEAR_GAIN, Graph, Tensor

IMAGE = (1, 3, 224, 224)
CLASSES = 1000

_VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions of each stage; a max pool ends it."""
_RESNET18 = (64, 128, 256, 512)
"""Channels of each stage of two basic blocks."""

_RESIDUAL_GAIN = 0.5
"""Of a branch beside an identity: the sum grows by a quarter in mean square, not by two."""


def alexnet(seed: int = 0) -> onnx.ModelProto:
    """AlexNet (torchvision's, 61.1 million weights).

    Args:
        seed: of the weights; not negative.

    Returns:
        A model from "input", float32 (1, 3, 224, 224), to "output", float32 logits (1, 1000).
    """
    graph = Graph("alexnet", seed)
    x = graph.input("input", IMAGE)
    x = graph.relu(graph.conv(x, 64, kernel=11, stride=4, padding=2))
    x = graph.max_pool(x, kernel=3, stride=2)
    x = graph.relu(graph.conv(x, 192, kernel=5, padding=2))
    x = graph.max_pool(x, kernel=3, stride=2)
    for channels in (384, 256, 256):
        x = graph.relu(graph.conv(x, channels, kernel=3, padding=1))
    x = graph.max_pool(x, kernel=3, stride=2)
    return graph.model(_classifier(graph, x))


def vgg16(seed: int = 0) -> onnx.ModelProto:
    """VGG-16 without batch norms (138.4 million weights).

    Args:
        seed: of the weights; not negative.

    Returns:
        A model from "input", float32 (1, 3, 224, 224), to "output", float32 logits (1, 1000).
    """
    graph = Graph("vgg16", seed)
    x = graph.input("input", IMAGE)
    for channels, convs in _VGG16:
        for _ in range(convs):
            x = graph.relu(graph.conv(x, channels, kernel=3, padding=1))
        x = graph.max_pool(x, kernel=2, stride=2)
    return graph.model(_classifier(graph, x))


def resnet18(seed: int = 0) -> onnx.ModelProto:
    """ResNet-18 with its batch norms folded into the convolutions (11.7 million weights).

    Args:
        seed: of the weights; not negative.

    Returns:
        A model from "input", float32 (1, 3, 224, 224), to "output", float32 logits (1, 1000).
    """
    graph = Graph("resnet18", seed)
    x = graph.input("input", IMAGE)
    x = graph.relu(graph.conv(x, 64, kernel=7, stride=2, padding=3))
    x = graph.max_pool(x, kernel=3, stride=2, padding=1)
    for channels in _RESNET18:
        x = _basic_block(graph, x, channels, stride=1 if channels == x.shape[1] else 2)
        x = _basic_block(graph, x, channels, stride=1)
    x = graph.flatten(graph.global_average_pool(x))
    return graph.model(graph.gemm(x, CLASSES, gain=LINEAR_GAIN))


def _basic_block(graph: Graph, x: Tensor, channels: int, stride: int) -> Tensor:
    """Two 3x3 convolutions beside an identity, or beside a 1x1 one where the shape changes."""
    same = stride == 1 and channels == x.shape[1]
    branch = graph.relu(graph.conv(x, channels, kernel=3, stride=stride, padding=1))
    gain = _RESIDUAL_GAIN if same else LINEAR_GAIN
    branch = graph.conv(branch, channels, kernel=3, padding=1, gain=gain)
    if not same:
        x = graph.conv(x, channels, kernel=1, stride=stride, gain=LINEAR_GAIN)
    return graph.relu(graph.add(branch, x))


def _classifier(graph: Graph, x: Tensor) -> Tensor:
    """The three dense layers of AlexNet and VGG."""
    x = graph.flatten(x)
    for _ in range(2):
        x = graph.relu(graph.gemm(x, 4096))
    return graph.gemm(x, CLASSES, gain=LINEAR_GAIN)
