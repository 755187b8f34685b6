"""A network behind `ports.backend.Project`: its environment, and its winners as a library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tvm.target import Target

from chameleon_tuner.backends.tvm.deploy.build import (
    UNTUNED,
    build_libraries,
    drop_untuned,
    keep_untuned,
    kernel_names,
)
from chameleon_tuner.backends.tvm.deploy.library import Manifest, usage
from chameleon_tuner.backends.tvm.lower.kernel import device_of, is_gpu
from chameleon_tuner.backends.tvm.network import Network
from chameleon_tuner.backends.tvm.targets import as_json
from chameleon_tuner.ports.backend import Winner
from chameleon_tuner.ports.handler import CompareModels
from chameleon_tuner.ports.records import Environment
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import LIBRARY
from chameleon_tuner.system.machine import cpu_name

MEASURING = "4"
"""Version of how candidates are lowered and timed; other versions are not comparable."""

_PACKAGES = ("apache-tvm", "apache-tvm-ffi")
"""Packages that change the generated code."""


class TVMProject:
    """A network of the TVM backend; implements `ports.backend.Project`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def tasks(self) -> Sequence[Task]:
        """See `Project.tasks`."""
        return self._network.tasks

    @property
    def target(self) -> Mapping[str, Any]:
        """See `Project.target`."""
        return as_json(self._network.target)

    @property
    def threads(self) -> int:
        """See `Project.threads`."""
        return self._network.threads

    @property
    def apart_bytes(self) -> int:
        """See `Project.apart_bytes`."""
        return self._network.apart_bytes

    @property
    def environment(self) -> Environment:
        """See `Project.environment`."""
        network = self._network
        versions = {name: metadata.version(name) for name in _PACKAGES}
        versions["measuring"] = MEASURING
        versions["apart_bytes"] = str(network.apart_bytes)
        # Without tasks there is nothing to record; the text is that of earlier versions.
        target = json.dumps(dict(self.target) if network.tasks else {}, sort_keys=True)
        return Environment(target, device_name(network.target), network.threads, versions)

    def kernel_names(self) -> Mapping[str, Sequence[str]]:
        """See `Project.kernel_names`."""
        return kernel_names(self._network.lowered)

    def build(self, winners: Mapping[str, Winner], folder: Path) -> None:
        """See `Project.build`."""
        build_libraries(self._network, winners, folder)

    def comparison(self, folder: Path) -> CompareModels:
        """See `Project.comparison`."""
        onnx = self._network.program.onnx_path
        tuned, untuned = str(folder / LIBRARY), str(folder / UNTUNED)
        return CompareModels(tuned, untuned, str(onnx) if onnx else None, self.threads)

    def usage(self, folder: Path) -> Sequence[str]:
        """See `Project.usage`."""
        return list(usage(Manifest.read(folder), folder))

    def keep_untuned(self, folder: Path) -> None:
        """See `Project.keep_untuned`."""
        keep_untuned(folder)

    def drop_untuned(self, folder: Path) -> None:
        """See `Project.drop_untuned`."""
        drop_untuned(folder)


def device_name(target: Target) -> str:
    """Return the model of the device that kernels for a target run on: this CPU, or the GPU."""
    if not is_gpu(target):
        return cpu_name()
    device = device_of(target)
    name = device.device_name if device.exist else None  # Metal tells none
    return str(name or target.kind.name)
