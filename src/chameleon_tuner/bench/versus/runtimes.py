"""The runtimes that a tuned model is timed beside."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from chameleon_tuner.core.errors import UsageError, hint
from chameleon_tuner.ports.entry import HandlerEntry

if TYPE_CHECKING:
    from chameleon_tuner.bench.versus.runners import Chameleon, Runner

H = TypeVar("H", covariant=True)

INSTALL = 'pip install "chameleon-tuner[versus]"'
"""The command that installs all runtimes."""

_RUNNERS = "chameleon_tuner.bench.versus.runners"


@dataclass(frozen=True)
class Runtime(Generic[H]):
    """A runtime for models.

    Attributes:
        name: Name of the runtime on the command line.
        packages: Packages that must be importable.
        handler: Where its process finds its handler; see `chameleon_tuner.bench.versus.runners`.
        distribution: Distribution package whose version is reported.
    """

    name: str
    packages: tuple[str, ...]
    handler: HandlerEntry[H]
    distribution: str

    def installed(self) -> bool:
        """Check that all packages are installed, without importing them."""
        return all(importlib.util.find_spec(package) is not None for package in self.packages)


OURS: Runtime[Chameleon] = Runtime(
    "chameleon", (), HandlerEntry(_RUNNERS, "Chameleon"), "chameleon-tuner"
)
"""The runtime of our tuned library."""


def _other(name: str, packages: tuple[str, ...], runner: str) -> Runtime[Runner]:
    return Runtime(name, packages, HandlerEntry(_RUNNERS, runner), packages[0])


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        _other("onnxruntime", ("onnxruntime",), "OnnxRuntime"),
        _other("openvino", ("openvino",), "OpenVino"),
        _other("torch.compile", ("torch", "onnx2torch"), "TorchCompile"),
    )
}
"""The other runtimes by name."""


def chosen(names: Sequence[str]) -> list[Runtime[Runner]]:
    """Return the runtimes with the given names, each once.

    Raises:
        UsageError: A name is unknown.
    """
    for name in names:
        if name not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {name!r}; {hint(name, RUNTIMES)}known: {', '.join(RUNTIMES)}"
            )
    return [RUNTIMES[name] for name in dict.fromkeys(names)]
