"""MobileNet-V2: inverted residuals with depthwise convolutions."""

from __future__ import annotations

import onnx

from chameleon_tuner.zoo.convnets import CLASSES, IMAGE
from chameleon_tuner.zoo.graph import LINEAR_GAIN, Graph, Tensor

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and the first block's stride of each stage."""

_RESIDUAL_GAIN = 0.5
"""Of a branch beside an identity; with 1 the ten sums would saturate the ReLU6."""


def mobilenet_v2(seed: int = 0) -> onnx.ModelProto:
    """MobileNet-V2 of width 1.0 with its batch norms folded (3.5 million weights).

    Args:
        seed: of the weights; not negative.

    Returns:
        A model from "input", float32 (1, 3, 224, 224), to "output", float32 logits (1, 1000).
    """
    graph = Graph("mobilenet_v2", seed)
    x = graph.input("input", IMAGE)
    x = graph.relu6(graph.conv(x, 32, kernel=3, stride=2, padding=1))
    for expansion, channels, blocks, first_stride in _STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            x = _inverted_residual(graph, x, expansion, channels, stride)
    x = graph.relu6(graph.conv(x, 1280, kernel=1))
    x = graph.flatten(graph.global_average_pool(x))
    return graph.model(graph.gemm(x, CLASSES, gain=LINEAR_GAIN))


def _inverted_residual(
    graph: Graph, x: Tensor, expansion: int, channels: int, stride: int
) -> Tensor:
    """Expands by 1x1, filters each channel by 3x3, projects by 1x1 without activation."""
    hidden = x.shape[1] * expansion
    same = stride == 1 and channels == x.shape[1]
    y = x if expansion == 1 else graph.relu6(graph.conv(x, hidden, kernel=1))
    y = graph.conv(y, hidden, kernel=3, stride=stride, padding=1, groups=hidden)
    gain = _RESIDUAL_GAIN if same else LINEAR_GAIN
    y = graph.conv(graph.relu6(y), channels, kernel=1, gain=gain)
    return graph.add(x, y) if same else y
