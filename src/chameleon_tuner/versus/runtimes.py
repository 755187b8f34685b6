"""The runtimes that a tuned model is timed beside."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from chameleon_tuner.errors import UsageError
from chameleon_tuner.names import hint

INSTALL = 'pip install "chameleon-tuner[versus]"'
"""Brings all of them."""

_RUNNERS = "chameleon_tuner.versus.runners"


@dataclass(frozen=True)
class Runtime:
    """What runs a model.

    Attributes:
        name: that users give it.
        packages: what has to be importable.
        handler: of its process, `module:class`; see `chameleon_tuner.versus.runners`.
        distribution: whose version is its version.
    """

    name: str
    packages: tuple[str, ...]
    handler: str
    distribution: str

    def installed(self) -> bool:
        """Whether all of its packages are there; imports none of them."""
        return all(importlib.util.find_spec(package) is not None for package in self.packages)


OURS = Runtime("chameleon", (), f"{_RUNNERS}:Chameleon", "chameleon-tuner")

RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("onnxruntime", ("onnxruntime",), f"{_RUNNERS}:OnnxRuntime", "onnxruntime"),
        Runtime("openvino", ("openvino",), f"{_RUNNERS}:OpenVino", "openvino"),
        Runtime("torch.compile", ("torch", "onnx2torch"), f"{_RUNNERS}:TorchCompile", "torch"),
    )
}


def chosen(names: Sequence[str]) -> list[Runtime]:
    """Runtimes by name, each once.

    Raises:
        UsageError: one is not known.
    """
    for name in names:
        if name not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {name!r}; {hint(name, RUNTIMES)}known: {', '.join(RUNTIMES)}"
            )
    return [RUNTIMES[name] for name in dict.fromkeys(names)]
