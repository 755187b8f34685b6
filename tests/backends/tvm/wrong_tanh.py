"""A worker in which TVM computes Tanh as a sigmoid, and which dies of compiling an arc tangent."""

from __future__ import annotations

import os
from typing import Any

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm import immediate
from chameleon_tuner.backends.tvm.frontend import onnx as frontend
from chameleon_tuner.backends.tvm.run.handler import TVMHandler

WRONG = {**frontend.CONVERTERS, "Tanh": frontend.CONVERTERS["Sigmoid"]}
"""Converters of which one is wrong."""

_compile_now = immediate.compile_now


def _dying(model: Any) -> Any:
    if model.graph.node[0].op_type == "Atan":
        os.abort()
    return _compile_now(model)


class Handler(TVMHandler):
    """TVM's, with the wrong converter."""

    def __init__(self) -> None:
        super().__init__()
        frontend.CONVERTERS = WRONG
        immediate.compile_now = _dying
