"""A whole model in a worker of its own: tuned, untuned, or as onnxruntime runs it today."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from chameleon_tuner.backends.tvm.deploy.library import Library
from chameleon_tuner.backends.tvm.frontend.sessions import open_session
from chameleon_tuner.ports.handler import ONNXRUNTIME
from chameleon_tuner.system.clock import mean_secs

_SHARE_SECS = 0.2
"""Seconds of calls in which the shares of parts are measured."""


class _Running(Protocol):
    """A model that runs on its inputs."""

    def outputs(self) -> list[Any]:
        """Return the outputs in order."""
        ...

    def time(self, at_least_secs: float) -> float:
        """Return the mean seconds of a call."""
        ...

    def shares(self) -> Mapping[str, float]:
        """Return the share of the time by name of the part."""
        ...


class Models:
    """Runs one whole model at a time; implements `ports.handler.ModelHandler`."""

    def open(self, contestant: str, path: str, threads: int, inputs: Mapping[str, Any]) -> None:
        """See `ModelHandler.open`."""
        self._running: _Running
        if contestant == ONNXRUNTIME:
            self._running = _InOnnxruntime(path, threads, inputs)
        else:
            self._running = _Compiled(path, inputs)

    def outputs(self) -> list[Any]:
        """See `ModelHandler.outputs`."""
        return self._running.outputs()

    def time(self, at_least_secs: float) -> float:
        """See `ModelHandler.time`."""
        return self._running.time(at_least_secs)

    def shares(self) -> Mapping[str, float]:
        """See `ModelHandler.shares`."""
        return self._running.shares()


class _Compiled:
    """A library of a folder."""

    def __init__(self, path: str, inputs: Mapping[str, Any]) -> None:
        self._library = Library(Path(path).parent, Path(path).name)
        self._inputs = inputs

    def outputs(self) -> list[Any]:
        return list(self._library(self._inputs).values())

    def time(self, at_least_secs: float) -> float:
        return self._library.time(self._inputs, at_least_secs)

    def shares(self) -> Mapping[str, float]:
        return self._library.shares(self._inputs, _SHARE_SECS)


class _InOnnxruntime:
    """An ONNX file, as its users run it."""

    def __init__(self, path: str, threads: int, inputs: Mapping[str, Any]) -> None:
        self._session, self._inputs = open_session(path, threads), dict(inputs)

    def outputs(self) -> list[Any]:
        return list(self._session.run(None, self._inputs))

    def time(self, at_least_secs: float) -> float:
        return mean_secs(self.outputs, at_least_secs)

    def shares(self) -> Mapping[str, float]:
        return {}
