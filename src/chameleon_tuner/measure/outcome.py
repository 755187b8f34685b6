"""What became of a candidate: timings, or a failure with its cause. Failures are data."""

from __future__ import annotations

import enum
import json
import math
import statistics
from dataclasses import dataclass

from chameleon_tuner.space import Configuration


class Status(str, enum.Enum):
    """How the measuring of a candidate ended."""

    OK = "ok"
    CENSORED = "censored"
    """Cut off by time after its cold first run, far slower than the best: roughly that slow."""
    REJECTED = "rejected"
    """A postprocessor or a limit of the target refuses the configuration: never built."""
    BUILD_ERROR = "build_error"
    RUN_ERROR = "run_error"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    WRONG_OUTPUT = "wrong_output"


class RejectedError(Exception):
    """A configuration that a postprocessor or a limit of the target refuses."""


class Failed(Exception):  # noqa: N818 - the failure of a candidate, not of the program
    """What was asked of a worker failed: how it ended, and why.

    Attributes:
        status: the outcome's status.
        fatal: whether the worker died of it, and with it everything it held.
    """

    def __init__(self, status: Status, message: str, fatal: bool) -> None:
        super().__init__(message)
        self.status, self.fatal = status, fatal


@dataclass(frozen=True)
class Outcome:
    """The measurement of one candidate.

    Attributes:
        configuration: the configuration that ran, read back after replay.
        proposed: the configuration that was asked for; differs where TVM changed a location.
        structural_hash: of the scheduled module; with the task and the environment it is the
            identity of a measurement. Empty where the replay itself failed.
        status: how it ended.
        samples: seconds of every timed run.
        message: the cause of a failure.
        build_secs: replaying and compiling.
        run_secs: loading, drawing inputs and running.
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
        return self.structural_hash or f"configuration:{json.dumps(self.configuration.to_json())}"

    @property
    def seconds(self) -> float:
        """The median sample; infinite unless the candidate ran (`ok` or `censored`)."""
        timed = self.status in (Status.OK, Status.CENSORED) and self.samples
        return statistics.median(self.samples) if timed else math.inf
