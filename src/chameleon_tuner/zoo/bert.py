"""BERT-tiny: two post-norm transformer layers over 128 tokens."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto

from chameleon_tuner.zoo.graph import Graph, Shape, Tensor

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
    """BERT-tiny without pooler: 2 layers, hidden 128, 2 heads, 128 tokens (4.3 million weights).

    All tokens attend to all; the embedding of the one token type is part of the positions'.

    Args:
        seed: of the weights; not negative.

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
    """Self-attention: (1, tokens, hidden) to the same shape."""
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
    """Splits (1, tokens, hidden) into (1, tokens, heads, head) and permutes the axes."""
    return _transpose(graph, _reshape(graph, x, (1, TOKENS, HEADS, _HEAD)), axes)


def _linear(graph: Graph, x: Tensor, units: int) -> Tensor:
    """MatMul and bias over the last axis, as exporters write a dense layer of three axes."""
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
    """The exact GELU: x (1 + erf(x / sqrt 2)) / 2."""
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
