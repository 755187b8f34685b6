"""Configurations: points of a task's design space, and kernels of other tuners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Configuration:
    """A point of a design space: a sketch, and a value for each of its knobs.

    Immutable and hashable; its JSON is the same in every process.

    Attributes:
        sketch: Number of the sketch.
        indices: For each knob of the sketch, the index of its value. Indices count a knob's values
            in the knob's own order (`Knob.values`), which its parameters alone determine.
    """

    sketch: int
    indices: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, `{"sketch": 0, "indices": [3, 1]}`."""
        return {"sketch": self.sketch, "indices": list(self.indices)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Configuration:
        """Return the configuration of a JSON form; the inverse of `to_json`."""
        return Configuration(int(data["sketch"]), tuple(int(i) for i in data["indices"]))


@dataclass(frozen=True, order=True)
class LoweredByTVM:
    """A configuration as another tuner deploys it: compiled by TVM's own lowering.

    Attributes:
        configuration: A configuration of the design space.
    """

    configuration: Configuration


@dataclass(frozen=True, order=True)
class ForeignTrace:
    """A candidate of another tuner that is no configuration of the design space.

    Attributes:
        text: TVM's JSON of the whole trace, postprocessors included.
    """

    text: str


DeployedKernel = Configuration | LoweredByTVM | ForeignTrace
"""A kernel as its tuner deploys it: a configuration by this project's lowering, the others by TVM's
own."""
