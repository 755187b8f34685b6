"""The programs that a worker has learned."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chameleon_tuner.backends.program.checking import wrong
from chameleon_tuner.backends.program.knobs import space_of
from chameleon_tuner.backends.program.parsing import parse
from chameleon_tuner.backends.program.running import Candidate, Ran
from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.backends.program.template import Value
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.handler import Failed, RejectedError
from chameleon_tuner.space import DesignSpace, values_at
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.system.commands import Guard

UNKNOWN_LIMIT_SECS = 600.0
"""Seconds of a run while it is not known what the default configuration takes."""


@dataclass(frozen=True)
class Places:
    """Where a worker finds and leaves what belongs to a program; `Task.target` as an object.

    Attributes:
        folder: Folder of the specification.
        scratch: Folder for the folders of candidates.
        reference: File with the output that is right; empty while there is none.
        run_secs: Limit of a run in seconds.
    """

    folder: str
    scratch: str
    reference: str = ""
    run_secs: float = UNKNOWN_LIMIT_SECS

    def target(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"kind": "program", **vars(self)}

    @staticmethod
    def of(target: Mapping[str, Any]) -> Places:
        """Return the places in the target of a task; the inverse of `target`."""
        return Places(**{name: value for name, value in target.items() if name != "kind"})


@dataclass
class Loaded:
    """A program that a worker has learned.

    Attributes:
        spec: Its specification.
        places: Where everything is.
        space: Its design space.
    """

    spec: Spec
    places: Places
    space: DesignSpace
    _reference: bytes | None = field(default=None, repr=False)

    def values(self, configuration: Configuration) -> dict[str, Value]:
        """Return the values of a configuration's parameters.

        Raises:
            RejectedError: It is none of the design space.
        """
        if not self.space.contains(configuration):
            raise RejectedError("not a configuration of this program")
        return values_at(self.space, configuration)

    def candidate(self, values: Mapping[str, Value], guard: Guard) -> Candidate:
        """Return a candidate in a new folder."""
        scratch = Path(self.places.scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        return Candidate(self.spec, values, Path(tempfile.mkdtemp(dir=scratch)), guard)

    def run(self, candidate: Candidate) -> Ran:
        """Run a candidate once and check its output.

        Raises:
            Failed: It failed, or its output is wrong.
        """
        ran = candidate.run(self.places.run_secs)
        if self.spec.check.wanted and self.places.reference:
            if self._reference is None:
                self._reference = Path(self.places.reference).read_bytes()
            if found := wrong(ran.output, self._reference, self.spec.check):
                raise Failed(Status.WRONG_OUTPUT, f"wrong output: {found}")
        return ran


class Programs:
    """The programs that a worker has learned; implements `ports.handler.TaskHandler`."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        """See `TaskHandler.load_task`."""
        places = Places.of(target)
        spec = parse(json.loads(module), Path(places.folder))
        space = space_of(spec) if design is None else from_plain(design)
        self._loaded[key] = Loaded(spec, places, space)

    def derive_space(self, key: str, module: str, target: dict[str, Any]) -> Any:
        """See `TaskHandler.derive_space`."""
        self.load_task(key, module, target)
        return to_plain(self._loaded[key].space)

    def __getitem__(self, key: str) -> Loaded:
        return self._loaded[key]
