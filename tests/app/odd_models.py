"""A handler of whole models that are told in JSON what they compute, and where they fail."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from chameleon_tuner.ports.handler import OpenModel


def odd(name: str, *outputs: Any, **behaviour: Any) -> OpenModel:
    """Return how a contestant is opened that behaves as told.

    `secs` is what a call takes, or a list of what it takes in each turn; `dies` and `raises` name
    the requests that fail; `first_secs` is what the first call really takes.
    """
    told = {"outputs": [np.asarray(output).tolist() for output in outputs], **behaviour}
    return OpenModel(name, json.dumps(told), 2, {"x": np.ones(3, np.float32)})


class OddModels:
    """Implements `HasModels`."""

    def __init__(self) -> None:
        self.models = self
        self._told: dict[str, Any] = {}
        self._turns = 0

    def open(self, contestant: str, path: str, threads: int, inputs: Mapping[str, Any]) -> None:
        self._told = json.loads(path)
        self._fail("open")
        assert threads == 2
        assert inputs["x"].tolist() == [1.0] * 3

    def outputs(self) -> list[Any]:
        self._fail("outputs")
        time.sleep(self._told.get("first_secs", 0.0))
        if self._told.get("tells_process"):
            return [np.array([os.getpid()])]
        return [np.array(output, np.float32) for output in self._told["outputs"]]

    def time(self, at_least_secs: float) -> float:
        self._fail("time")
        self._turns += 1
        secs = self._told.get("secs", 1e-3)
        return float(secs[min(self._turns, len(secs)) - 1] if isinstance(secs, list) else secs)

    def shares(self) -> Mapping[str, float]:
        self._fail("shares")
        return dict(self._told.get("shares", {}))

    def _fail(self, stage: str) -> None:
        if self._told.get("dies") == stage:
            os.write(2, b"first words\nlast words\n")
            os.abort()
        if self._told.get("raises") == stage:
            raise RuntimeError(f"somewhere in a library:\nno {stage} today\n")
