"""Builders of ONNX files of well-known networks with random weights; nothing is downloaded.

The architectures are the published ones, so their layers are realistic tuning tasks. The weights
are drawn from a seed and scaled so that activations neither vanish nor explode and outputs are of
order 1.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx

from chameleon_tuner.core.errors import OutputError, UsageError
from chameleon_tuner.zoo.networks import alexnet, bert_tiny, mobilenet_v2, resnet18, vgg16

__all__ = ["NETWORKS", "build", "save"]

NETWORKS: Mapping[str, Callable[[int], onnx.ModelProto]] = MappingProxyType(
    {
        "alexnet": alexnet,
        "vgg16": vgg16,
        "resnet18": resnet18,
        "mobilenet_v2": mobilenet_v2,
        "bert_tiny": bert_tiny,
    }
)
"""The builder of each network by name. A builder takes the seed of the weights."""


def build(name: str, seed: int = 0) -> onnx.ModelProto:
    """Build a network of the zoo.

    Args:
        name: One of `NETWORKS`.
        seed: Seed of the weights, not negative. The same seed gives bit-identical weights.

    Returns:
        A model of batch 1 with one input, and one output named "output". The image networks map
        "input", float32 (1, 3, 224, 224), to logits (1, 1000). `bert_tiny` maps "input_ids", int64
        (1, 128), to its last hidden state (1, 128, 128).

    Raises:
        UsageError: If no network has that name, or the seed is negative.
    """
    if name not in NETWORKS:
        raise UsageError(_unknown(name))
    if seed < 0:
        raise UsageError(f"the seed must be 0 or more, not {seed}")
    return NETWORKS[name](seed)


def save(name: str, path: str | os.PathLike[str], seed: int = 0) -> None:
    """Build a network and write it, weights included, as one ONNX file.

    Args:
        name: One of `NETWORKS`.
        path: The file to write, in an existing folder. Its size is between 14 MB (`mobilenet_v2`)
            and 553 MB (`vgg16`).
        seed: Seed of the weights, not negative.

    Raises:
        UsageError: If no network has that name, or the seed is negative.
        OutputError: If the file cannot be written.
    """
    model = build(name, seed)
    try:
        onnx.save(model, path, format="protobuf")  # independent of the file's suffix
    except OSError as error:
        message = f"cannot write {os.fspath(path)!r} ({error.strerror}); choose another path"
        raise OutputError(message) from error


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name.lower(), NETWORKS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown network {name!r}.{hint} Known networks: {', '.join(NETWORKS)}."
