"""A worker in which TVM's importer fails or ends the process on some operators.

`Selu` is refused and `Elu` ends the process when it is converted, `Cos` and `Sin` when the module
is lowered; `Atan` in a model ends the process whatever is outside, and a file named `poison` does
while onnxruntime reads it.
"""

from __future__ import annotations

import os
from typing import Any

import chameleon_tuner.backends.tvm  # noqa: F401 - before TVM itself: imports it without PyTorch

# isort: split

from chameleon_tuner.backends.tvm.frontend import onnx as frontend
from chameleon_tuner.backends.tvm.frontend import program
from chameleon_tuner.backends.tvm.lower import graph

_convert_operator: Any = frontend._Importer._convert_operator
_converted, _ready, _fuse = program.converted, program.ready, graph.fuse


def _conversion(self: Any, operator: str, *arguments: Any) -> Any:
    if operator == "Selu":
        raise ValueError("refused by the test")
    if operator == "Elu":
        os.abort()
    return _convert_operator(self, operator, *arguments)


def _conversion_of_all(prepared: Any, outside: Any) -> Any:
    if any(node.op_type == "Atan" for node in prepared.model.graph.node):
        os.abort()
    return _converted(prepared, outside)


def _reading(file: Any, *arguments: Any) -> Any:
    if file.path.stem == "poison":
        os.abort()
    return _ready(file, *arguments)


def _fusion(module: Any, target: Any) -> Any:
    text = module.script()
    if "R.sin(" in text or "T.sin(" in text:
        os.abort()
    if "R.cos(" in text or "T.cos(" in text:
        raise RuntimeError("somewhere in TVM\ncosines are refused")
    return _fuse(module, target)


class Handler:
    """Answers nothing but requests that need no handler."""

    def __init__(self) -> None:
        importer: Any = frontend._Importer
        importer._convert_operator = _conversion
        program.converted, program.ready, graph.fuse = _conversion_of_all, _reading, _fusion
