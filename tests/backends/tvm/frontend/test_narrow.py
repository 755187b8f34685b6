from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from chameleon_tuner.backends.tvm.frontend.narrow import FLOATS, widened
from chameleon_tuner.core.errors import ModelError
from chameleon_tuner.onnx_backend import ChameleonBackend

FLOAT8 = [
    element for element, name in FLOATS.items() if name.startswith("float8_e") and "e8" not in name
]


def cast(source: int, to: int, **options: int) -> onnx.ModelProto:
    node = helper.make_node("Cast", ["x"], ["y"], to=to, **options)
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", source, ["n"])],
        [helper.make_tensor_value_info("y", to, ["n"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])


def computed(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    (found,) = ChameleonBackend.run_model(model, [x], fallback=False)
    return np.asarray(found)


@pytest.mark.parametrize("element", FLOAT8)
def test_all_numbers_of_eight_bits(element: int) -> None:
    codes = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, FLOATS[element]))
    found = computed(cast(element, TensorProto.FLOAT), codes)
    np.testing.assert_array_equal(found, codes.astype(np.float32))


@pytest.mark.parametrize("element", FLOAT8)
def test_rounding_to_eight_bits(element: int) -> None:
    dtype = np.dtype(getattr(ml_dtypes, FLOATS[element]))
    codes = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    numbers = np.sort(codes[np.isfinite(codes)])
    middles = (numbers[1:] + numbers[:-1]) / 2
    x = np.concatenate([numbers, middles, middles * 1.001, [np.nan, 1e30, -1e30, 1e-30, 0]])
    found = computed(cast(TensorProto.FLOAT, element, saturate=0), x.astype(np.float32))
    assert found.dtype == dtype
    np.testing.assert_array_equal(
        found.astype(np.float32), x.astype(np.float32).astype(dtype).astype(np.float32)
    )


def test_saturation() -> None:
    x = np.array([1e4, -1e4, 3], np.float32)
    found = computed(cast(TensorProto.FLOAT, TensorProto.FLOAT8E4M3FN), x)
    assert found.astype(np.float32).tolist() == [448, -448, 3]


@pytest.mark.parametrize(
    ("element", "name"), [(TensorProto.INT4, "int4"), (TensorProto.UINT4, "uint4")]
)
def test_integers_of_four_bits(element: int, name: str) -> None:
    x = np.arange(-4, 8, dtype=np.int32)
    found = computed(cast(TensorProto.INT32, element), x)
    assert found.dtype.name == name
    np.testing.assert_array_equal(found.astype(np.int32), x & 15 if name == "uint4" else x)


def test_nothing_is_computed_in_them() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT8E5M2, [3])
    graph = helper.make_graph([node], "test", [value], [onnx.ValueInfoProto(name="y")])
    with pytest.raises(ModelError, match="does not compute Relu in float8_e5m2"):
        widened(helper.make_model(graph))
