"""The outcome of measuring a candidate: timings, or a failure with its cause."""

from __future__ import annotations

import enum
import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from chameleon_tuner.core.configuration import Configuration

_UNBUILT = "configuration:"
"""Prefix of the identity of an outcome that has no module."""


class Status(str, enum.Enum):
    """How the measuring of a candidate ended."""

    OK = "ok"
    CENSORED = "censored"
    """The cold first run was so much slower than the best that timing stopped after it."""
    REJECTED = "rejected"
    """A postprocessor or a limit of the target refuses the configuration; it was never built."""
    BUILD_ERROR = "build_error"
    RUN_ERROR = "run_error"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    WRONG_OUTPUT = "wrong_output"
    """It ran, and its output is not that of the reference."""


@dataclass(frozen=True)
class Outcome:
    """The measurement of one candidate.

    Attributes:
        configuration: The configuration that ran, read back from the schedule after the replay.
        proposed: The configuration that was asked for. It differs from the one that ran where TVM
            changed a compute location.
        structural_hash: Hash of the scheduled module. Together with the task and the environment
            it identifies a measurement. Empty where the replay failed.
        status: How the measuring ended.
        samples: Seconds of every timed run.
        message: The cause of a failure.
        build_secs: Seconds of replaying and compiling.
        run_secs: Seconds of loading, drawing inputs and running.
    """

    configuration: Configuration
    proposed: Configuration
    structural_hash: str
    status: Status
    samples: tuple[float, ...] = ()
    message: str = ""
    build_secs: float = 0.0
    run_secs: float = 0.0

    @property
    def identity(self) -> str:
        """What is never measured twice: the structural hash, or the configuration without one."""
        return self.structural_hash or f"{_UNBUILT}{json.dumps(self.configuration.to_json())}"

    @property
    def seconds(self) -> float:
        """The median sample; infinite unless the candidate ran (`ok` or `censored`)."""
        timed = self.status in (Status.OK, Status.CENSORED) and self.samples
        return statistics.median(self.samples) if timed else math.inf


def structural_hash_of(identity: str) -> str:
    """Return the structural hash in an `Outcome.identity`, empty where there was no module."""
    return "" if identity.startswith(_UNBUILT) else identity


class DistinctOutcomes:
    """Outcomes of one task in one environment, of which each module counts once.

    Different configurations can schedule to the same module. The outcome that was added first
    answers for all of them. Every part of the program that has to know whether two candidates are
    the same module asks this class.
    """

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._first: dict[str, Outcome] = {}
        self.add(outcomes)

    def __len__(self) -> int:
        return len(self._first)

    def __contains__(self, outcome: Outcome) -> bool:
        return outcome.identity in self._first

    def add(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Add outcomes and return those whose module was not known before, in order."""
        fresh = []
        for outcome in outcomes:
            if outcome not in self:
                self._first[outcome.identity] = outcome
                fresh.append(outcome)
        return fresh

    def of_module(self, structural_hash: str) -> Outcome | None:
        """Return the outcome of a module; None for an unknown or empty structural hash."""
        return self._first.get(structural_hash)
