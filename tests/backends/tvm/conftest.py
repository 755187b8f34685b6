from __future__ import annotations

import pytest

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from pathlib import Path
from typing import Any

import tvm
from tvm import te, topi
from tvm.ir import IRModule

from chameleon_tuner.backends.tvm.frontend.program import import_model
from chameleon_tuner.backends.tvm.run.handler import TVMHandler


def _input(name: str, *shape: int, dtype: str = "float32") -> Any:
    return te.placeholder(shape, name=name, dtype=dtype)


def _module(*tensors: Any, weights: tuple[int, ...] = ()) -> IRModule:
    function = te.create_prim_func(list(tensors)).with_attr("global_symbol", "main")
    if weights:
        function = function.with_attr("layout_free_buffers", list(weights))
    return IRModule({"main": function})


def _conv2d() -> IRModule:
    data, bias = _input("data", 1, 14, 14, 16), _input("bias", 32)
    weight = _input("weight", 3, 3, 16, 32)
    output = topi.nn.relu(topi.add(topi.nn.conv2d_nhwc(data, weight, 1, 1, 1), bias))
    return _module(data, weight, bias, output, weights=(1,))


def _depthwise() -> IRModule:
    data, weight = _input("data", 1, 14, 14, 16), _input("weight", 3, 3, 16, 1)
    output = topi.nn.depthwise_conv2d_nhwc(data, weight, 1, 1, 1)
    return _module(data, weight, output, weights=(1,))


def _dense() -> IRModule:
    data, weight = _input("data", 16, 32), _input("weight", 48, 32)
    return _module(data, weight, topi.nn.dense(data, weight), weights=(1,))


def _two_layers() -> IRModule:
    """Two weights that a schedule may lay out anew."""
    data, first, second = _input("data", 16, 32), _input("first", 48, 32), _input("second", 64, 48)
    output = topi.nn.dense(topi.nn.dense(data, first), second)
    return _module(data, first, second, output, weights=(1, 2))


def _dense_int8() -> IRModule:
    data = _input("data", 16, 64, dtype="uint8")
    weight = _input("weight", 64, 64, dtype="int8")
    k = te.reduce_axis((0, 64), "k")
    output = te.compute(
        (16, 64),
        lambda i, j: te.sum(data[i, k].astype("int32") * weight[j, k].astype("int32"), k),
    )
    return _module(data, weight, output, weights=(1,))


def _dense_float16() -> IRModule:
    data, weight = (
        _input("data", 64, 64, dtype="float16"),
        _input("weight", 64, 64, dtype="float16"),
    )
    k = te.reduce_axis((0, 64), "k")
    output = te.compute(
        (64, 64),
        lambda i, j: te.sum(data[i, k].astype("float32") * weight[k, j].astype("float32"), k),
    )
    return _module(data, weight, output)


def _matmul_of_primes() -> IRModule:
    left, right = _input("left", 7, 13), _input("right", 13, 127)
    return _module(left, right, topi.matmul(left, right))


def _softmax() -> IRModule:
    data = _input("data", 4, 1024)
    return _module(data, topi.nn.softmax(data))


def _mean() -> IRModule:
    data = _input("data", 1, 7, 7, 64)
    total = topi.sum(data, axis=(1, 2))
    return _module(data, topi.divide(total, te.const(49.0, "float32")))


def _transpose() -> IRModule:
    data = _input("data", 12, 20)
    return _module(data, topi.transpose(data))


def _max_pool() -> IRModule:
    data = _input("data", 1, 14, 14, 16)
    window, strides, padding = [3, 3], [2, 2], [1, 1, 1, 1]
    pooled = topi.nn.pool2d(data, window, strides, [1, 1], padding, "max", layout="NHWC")
    return _module(data, pooled)


def _scalar() -> IRModule:
    data = _input("data")
    return _module(data, topi.add(data, te.const(1.0, "float32")))


def _where() -> IRModule:
    """A boolean mask and an int64 index beside floats, as in attention and embeddings."""
    mask, table = _input("mask", 8, 16, dtype="bool"), _input("table", 10, 16)
    indices = _input("indices", 8, dtype="int64")
    rows = topi.take(table, indices, axis=0)
    return _module(mask, table, indices, topi.where(mask, rows, topi.full_like(rows, -1.0)))


KERNELS = {
    "conv2d": _conv2d,
    "depthwise": _depthwise,
    "dense": _dense,
    "two_layers": _two_layers,
    "dense_int8": _dense_int8,
    "dense_float16": _dense_float16,
    "matmul_of_primes": _matmul_of_primes,
    "softmax": _softmax,
    "mean": _mean,
    "transpose": _transpose,
    "max_pool": _max_pool,
    "scalar": _scalar,
    "where": _where,
}


@pytest.fixture(scope="session")
def kernels() -> dict[str, IRModule]:
    """Small kernels of the kinds that networks have, by name."""
    return {name: make() for name, make in KERNELS.items()}


@pytest.fixture(scope="session")
def kernels_json(kernels: dict[str, IRModule]) -> dict[str, str]:
    return {name: str(tvm.ir.save_json(module)) for name, module in kernels.items()}


@pytest.fixture(scope="session")
def handler(kernels_json: dict[str, str]) -> TVMHandler:
    """A worker's handler, in this process, with the kernels that any CPU of this family can run."""
    handler = TVMHandler()
    for name, module in kernels_json.items():
        if name != "dense_float16":
            handler.tasks.load_task(name, module, {"kind": "llvm", "num-cores": 2})
    return handler


@pytest.fixture(scope="session")
def tiny_relax(tiny_onnx: Path) -> IRModule:
    """The tiny network as a Relax module: onnxruntime does not run it."""
    return import_model(str(tiny_onnx)).module
