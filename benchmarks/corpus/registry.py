"""The registry of networks, filled by the modules of each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Arrays = dict[str, Any]
"""NumPy arrays by name of the input."""

Writer = Callable[[Path, Path], tuple[Arrays, str]]
"""Writes an ONNX file, given the folder of the corpus; returns its inputs and how it was made."""


@dataclass(frozen=True)
class Network:
    """A network of the corpus.

    Attributes:
        name: Its name, and that of its folder.
        family: What it is for, such as `cnn` or `detection`.
        origin: The package whose authors made it.
        write: See `Writer`.
        build: Makes the module with its inputs; None for what is no module of PyTorch.
    """

    name: str
    family: str
    origin: str
    write: Writer
    build: Callable[[], Example] | None = None


@dataclass(frozen=True)
class Example:
    """A PyTorch module with inputs, ready for the export.

    Attributes:
        module: The module, with random weights.
        inputs: Tensors by name of the argument of `forward`.
        dynamic: Names of open dimensions by input and axis.
        tracing: Whether to use the older exporter, which keeps operators such as LSTM whole.
    """

    module: Any
    inputs: Mapping[str, Any]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    tracing: bool = False


NETWORKS: dict[str, Network] = {}


def register(
    name: str,
    family: str,
    origin: str,
    write: Writer,
    build: Callable[[], Example] | None = None,
) -> None:
    """Add a network.

    Args:
        name: See `Network`.
        family: See `Network`.
        origin: See `Network`.
        write: See `Writer`.
        build: See `Network`.

    Raises:
        ValueError: The name is taken.
    """
    if name in NETWORKS:
        raise ValueError(f"two networks are called {name}")
    NETWORKS[name] = Network(name, family, origin, write, build)


def exported(name: str, family: str, origin: str, build: Callable[[], Example]) -> None:
    """Add a PyTorch network, see `register`; `build` makes it with its inputs."""
    from torch_export import write_example

    register(name, family, origin, lambda path, _: write_example(build(), path), build)


def example(family: str, origin: str) -> Callable[[Callable[[], Example]], Callable[[], Example]]:
    """Return a decorator that adds the network that a function builds, under its name."""

    def add(build: Callable[[], Example]) -> Callable[[], Example]:
        exported(build.__name__, family, origin, build)
        return build

    return add
