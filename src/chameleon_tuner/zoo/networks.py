"""The networks of the zoo: AlexNet, VGG-16, ResNet-18, MobileNet-V2 and a small BERT."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto

from chameleon_tuner.zoo.graph import LINEAR_GAIN, Graph, Shape, Tensor

IMAGE = (1, 3, 224, 224)
CLASSES = 1000

_VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""The channels and the number of convolutions of each stage. A max pool ends every stage."""
_RESNET18 = (64, 128, 256, 512)
"""The channels of each stage. A stage has two basic blocks."""

_RESIDUAL_GAIN = 0.5
"""The gain of a branch that is added to an identity.

With it, an addition increases the mean square by a quarter, instead of doubling it.
"""


def alexnet(seed: int = 0) -> onnx.ModelProto:
    """Build torchvision's AlexNet (61.1 million weights).

    Args:
        seed: Seed of the weights, not negative.

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
    """Build VGG-16 without batch norms (138.4 million weights).

    Args:
        seed: Seed of the weights, not negative.

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
    """Build ResNet-18 with batch norms folded into the convolutions (11.7 million weights).

    Args:
        seed: Seed of the weights, not negative.

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
    """Add two 3x3 convolutions with an identity shortcut, or a 1x1 one if the shape changes."""
    same = stride == 1 and channels == x.shape[1]
    branch = graph.relu(graph.conv(x, channels, kernel=3, stride=stride, padding=1))
    gain = _RESIDUAL_GAIN if same else LINEAR_GAIN
    branch = graph.conv(branch, channels, kernel=3, padding=1, gain=gain)
    if not same:
        x = graph.conv(x, channels, kernel=1, stride=stride, gain=LINEAR_GAIN)
    return graph.relu(graph.add(branch, x))


def _classifier(graph: Graph, x: Tensor) -> Tensor:
    """Add the three dense layers of AlexNet and VGG."""
    x = graph.flatten(x)
    for _ in range(2):
        x = graph.relu(graph.gemm(x, 4096))
    return graph.gemm(x, CLASSES, gain=LINEAR_GAIN)


_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""The expansion, channels, blocks and the first block's stride of each MobileNet-V2 stage."""


def mobilenet_v2(seed: int = 0) -> onnx.ModelProto:
    """Build MobileNet-V2 of width 1.0 with its batch norms folded (3.5 million weights).

    Args:
        seed: Seed of the weights, not negative.

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
    """Add a 1x1 expansion, a 3x3 depthwise convolution and a 1x1 projection.

    No activation follows the projection.
    """
    hidden = x.shape[1] * expansion
    same = stride == 1 and channels == x.shape[1]
    y = x if expansion == 1 else graph.relu6(graph.conv(x, hidden, kernel=1))
    y = graph.conv(y, hidden, kernel=3, stride=stride, padding=1, groups=hidden)
    gain = _RESIDUAL_GAIN if same else LINEAR_GAIN
    y = graph.conv(graph.relu6(y), channels, kernel=1, gain=gain)
    return graph.add(x, y) if same else y


VOCABULARY = 30522
TOKENS = 128
HIDDEN = 128
HEADS = 2
LAYERS = 2

_FEED_FORWARD = 4 * HIDDEN
_HEAD = HIDDEN // HEADS
_EMBEDDING_STD = 0.02
_EPSILON = 1e-12


def bert_tiny(seed: int = 0) -> onnx.ModelProto:
    """Build BERT-tiny without its pooler: 2 layers, hidden size 128, 2 heads, 128 tokens.

    The network has 4.3 million weights. Every token attends to all tokens. The embedding of the
    single token type is part of the embedding of the positions.

    Args:
        seed: Seed of the weights, not negative.

    Returns:
        A model from "input_ids", int64 (1, 128) in [0, 30522), to "output", the last hidden
        state, float32 (1, 128, 128).
    """
    graph = Graph("bert_tiny", seed)
    x = _embeddings(graph, graph.input("input_ids", (1, TOKENS), TensorProto.INT64))
    for _ in range(LAYERS):
        x = _layer_norm(graph, graph.add(_attention(graph, x), x))
        x = _layer_norm(graph, graph.add(_feed_forward(graph, x), x))
    return graph.model(x)


def _embeddings(graph: Graph, ids: Tensor) -> Tensor:
    words = graph.weight("embeddings.word", (VOCABULARY, HIDDEN), _EMBEDDING_STD)
    positions = graph.weight("embeddings.position", (1, TOKENS, HIDDEN), _EMBEDDING_STD)
    x = graph.node("Gather", (words, ids), (*ids.shape, HIDDEN), axis=0)
    return _layer_norm(graph, graph.add(x, positions))


def _attention(graph: Graph, x: Tensor) -> Tensor:
    """Add self-attention from (1, tokens, hidden) to the same shape."""
    query = _heads(graph, _linear(graph, x, HIDDEN), (0, 2, 1, 3))
    key = _heads(graph, _linear(graph, x, HIDDEN), (0, 2, 3, 1))
    value = _heads(graph, _linear(graph, x, HIDDEN), (0, 2, 1, 3))
    scores = graph.scale("Div", _matmul(graph, query, key), math.sqrt(_HEAD))
    weights = graph.node("Softmax", (scores,), scores.shape, axis=-1)
    mixed = _transpose(graph, _matmul(graph, weights, value), (0, 2, 1, 3))
    return _linear(graph, _reshape(graph, mixed, x.shape), HIDDEN)


def _feed_forward(graph: Graph, x: Tensor) -> Tensor:
    return _linear(graph, _gelu(graph, _linear(graph, x, _FEED_FORWARD)), HIDDEN)


def _heads(graph: Graph, x: Tensor, axes: Shape) -> Tensor:
    """Split (1, tokens, hidden) into (1, tokens, heads, head) and permute the axes."""
    return _transpose(graph, _reshape(graph, x, (1, TOKENS, HEADS, _HEAD)), axes)


def _linear(graph: Graph, x: Tensor, units: int) -> Tensor:
    """Add a MatMul and a bias over the last axis, as exporters write a dense layer of 3 axes."""
    features = x.shape[-1]
    layer = graph.fresh("linear")
    weight = graph.weight(f"{layer}.weight", (features, units), 1 / math.sqrt(features))
    bias = graph.weight(f"{layer}.bias", (units,), std=0.1)
    return graph.add(_matmul(graph, x, weight), bias)


def _layer_norm(graph: Graph, x: Tensor) -> Tensor:
    layer = graph.fresh("norm")
    scale = graph.weight(f"{layer}.weight", x.shape[-1:], std=0.1, mean=1.0)
    bias = graph.weight(f"{layer}.bias", x.shape[-1:], std=0.1)
    operands = (x, scale, bias)
    return graph.node("LayerNormalization", operands, x.shape, axis=-1, epsilon=_EPSILON)


def _gelu(graph: Graph, x: Tensor) -> Tensor:
    """Add the exact GELU, x (1 + erf(x / sqrt 2)) / 2."""
    erf = graph.node("Erf", (graph.scale("Div", x, math.sqrt(2.0)),), x.shape)
    product = graph.node("Mul", (x, graph.scale("Add", erf, 1.0)), x.shape)
    return graph.scale("Mul", product, 0.5)


def _matmul(graph: Graph, a: Tensor, b: Tensor) -> Tensor:
    return graph.node("MatMul", (a, b), (*a.shape[:-1], b.shape[-1]))


def _transpose(graph: Graph, x: Tensor, axes: Shape) -> Tensor:
    shape = tuple(x.shape[axis] for axis in axes)
    return graph.node("Transpose", (x,), shape, perm=list(axes))


def _reshape(graph: Graph, x: Tensor, shape: Shape) -> Tensor:
    target = graph.constant(graph.fresh("shape"), np.array(shape, dtype=np.int64))
    return graph.node("Reshape", (x, target), shape)
