"""Python that runs a tuned library with nothing but the TVM runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from chameleon_tuner.result import Result

_MANIFEST = "manifest.json"


def snippet(result: Result) -> Iterator[str]:
    """Lines of a script that loads the library from the current folder and runs it on zeros."""
    inputs = json.loads((result.folder / _MANIFEST).read_text())["inputs"]
    kind = str(result.target.get("kind", "llvm")).replace("llvm", "cpu")
    weight = 'weights[f"weight{n}"]' + ("" if kind == "cpu" else ".copyto(device)")
    tensors = [f"tvm.runtime.tensor({name}, device)" for name in _variables(inputs)]
    yield from ("import os", "")
    yield from (f'os.environ["TVM_NUM_THREADS"] = "{result.threads}"', "")
    yield from ("import numpy as np", "import tvm", "from tvm import relax", "")
    yield f"device = tvm.{kind}()"
    yield 'machine = relax.VirtualMachine(tvm.runtime.load_module("model.so"), device)'
    yield 'weights = tvm.runtime.load_param_dict_from_file("model.params")'
    yield f"weights = [{weight} for n in range(len(weights))]"
    yield ""
    for name, spec in zip(_variables(inputs), inputs, strict=True):
        yield f'{name} = np.zeros({tuple(spec["shape"])}, "{spec["dtype"]}")  # {spec["name"]!r}'
    yield f'outputs = machine["main"]({", ".join(tensors)}, *weights)'
    yield "print(outputs)"


def _variables(inputs: list[Mapping[str, Any]]) -> list[str]:
    return ["x"] if len(inputs) == 1 else [f"x{number}" for number in range(len(inputs))]
