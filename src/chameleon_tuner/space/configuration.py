"""A configuration: one point of a task's design space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Configuration:
    """Which sketch, and for each of its knobs the index of the value taken.

    Immutable and hashable; the same JSON in every process. Indices count a knob's values in the
    knob's own order (`Knob.values`), which is fixed by its parameters alone.
    """

    sketch: int
    indices: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON form, `{"sketch": 0, "indices": [3, 1]}`."""
        return {"sketch": self.sketch, "indices": list(self.indices)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Configuration:
        """Inverse of `to_json`."""
        return Configuration(int(data["sketch"]), tuple(int(i) for i in data["indices"]))


@dataclass(frozen=True, order=True)
class LoweredByTVM:
    """A configuration as another tuner deploys it: compiled by TVM's own lowering.

    Attributes:
        configuration: of the design space.
    """

    configuration: Configuration


@dataclass(frozen=True, order=True)
class ForeignTrace:
    """A candidate of another tuner that is no configuration of the design space.

    Attributes:
        text: TVM's JSON of the whole trace, postprocessors included.
    """

    text: str


Deployed = Configuration | LoweredByTVM | ForeignTrace
"""A kernel as its tuner deploys it: a configuration by this project's lowering, the others by TVM's
own."""
