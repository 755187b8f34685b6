"""Runtimes that fail, each at another place, and one that computes something else."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chameleon_tuner.bench.versus.runners import Runner


class Refusing(Runner):
    """Cannot open the model."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        raise ValueError("from somewhere in a library:\nno operator Grizzly\n")

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        raise NotImplementedError

    def run(self) -> Any:
        raise NotImplementedError


class Differing(Refusing):
    """Runs, and returns ones whatever the inputs are."""

    def open(self, model: str, threads: int, shapes: Mapping[str, Sequence[int]]) -> None:
        assert (list(shapes), threads > 0) == (["input"], True)
        assert os.environ["OMP_NUM_THREADS"] == str(threads)

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        return [np.ones((1, 10), np.float32)]

    def run(self) -> Any:
        return None


class Dying(Differing):
    """Ends its process while it computes."""

    def outputs(self, inputs: Mapping[str, Any]) -> list[Any]:
        os.write(2, b"first words\nlast words")
        os._exit(7)


class Tiring(Differing):
    """Does not last for all rounds."""

    turns = 0

    def time(self, at_least_secs: float) -> float:
        self.turns += 1
        if self.turns > 2:
            raise RuntimeError("enough")
        return 0.001
