from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from chameleon_tuner.zoo.layers import PAPER, ConvLayer

SMALL = [layer for layer in PAPER if layer.network != "vgg16"]


@pytest.mark.parametrize("layer", SMALL, ids=lambda layer: layer.name)
def test_a_layer_is_one_valid_convolution(layer: ConvLayer) -> None:
    model = layer.model()
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.ones((1, layer.inputs, layer.size, layer.size), dtype=np.float32)
    (y,) = session.run(None, {"input": x})
    side = 55 if layer.kernel == 11 else layer.size // layer.stride
    assert y.shape == (1, layer.channels, side, side)
    assert np.isfinite(y).all()
