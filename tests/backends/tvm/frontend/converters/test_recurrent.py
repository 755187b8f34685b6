from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

Compute = Callable[..., list[np.ndarray]]


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32") * 0.5


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_layers(
    op: str, gates: int, direction: str, agree: Compute, rng: np.random.Generator
) -> None:
    ways = 2 if direction == "bidirectional" else 1
    x, w = numbers(rng, 3, 2, 3), numbers(rng, ways, gates * 4, 3)
    r, b = numbers(rng, ways, gates * 4, 4), numbers(rng, ways, gates * 8)
    outputs = 3 if op == "LSTM" else 2
    options: dict[str, Any] = {"hidden_size": 4, "direction": direction}
    lengths = np.array([2, 3], np.int32)
    agree(op, x, w, r, b, lengths, outputs=outputs, **options)


def test_gates_before_the_product(agree: Compute, rng: np.random.Generator) -> None:
    x, w = numbers(rng, 3, 2, 3), numbers(rng, 1, 12, 3)
    r, b = numbers(rng, 1, 12, 4), numbers(rng, 1, 24)
    agree("GRU", x, w, r, b, outputs=2, hidden_size=4, linear_before_reset=1)


def body(op: str) -> onnx.GraphProto:
    values = {
        name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2])
        for name in ("state", "row", "next", "seen")
    }
    nodes = [
        helper.make_node(op, ["state", "row"], ["next"]),
        helper.make_node("Identity", ["next"], ["seen"]),
    ]
    return helper.make_graph(
        nodes, "body", [values["state"], values["row"]], [values["next"], values["seen"]]
    )


def test_a_scan_is_unrolled(agree: Compute) -> None:
    begin, rows = np.zeros(2, np.float32), np.arange(6, dtype=np.float32).reshape(3, 2)
    agree("Scan", begin, rows, outputs=2, body=body("Add"), num_scan_inputs=1)
    agree(
        "Scan", begin, rows, outputs=2, body=body("Add"), num_scan_inputs=1,
        scan_input_directions=[1], scan_output_directions=[1],
    )  # fmt: skip


@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("parts", [1, 2])
def test_fourier(inverse: int, parts: int, compute: Compute, rng: np.random.Generator) -> None:
    x = numbers(rng, 2, 6, parts)
    (found,) = compute("DFT", x, opset=17, axis=1, inverse=inverse)
    signal = x[..., 0] + (1j * x[..., 1] if parts == 2 else 0)
    wanted = (np.fft.ifft if inverse else np.fft.fft)(signal, axis=1)
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], wanted, atol=1e-5)
