"""A configuration on its way through building and running."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from chameleon_tuner.measure.outcome import Outcome, Status
from chameleon_tuner.measure.timing import Timing
from chameleon_tuner.measure.worker import Worker
from chameleon_tuner.space import Configuration


@dataclass(frozen=True)
class Built:
    """Where a candidate's kernel is: in a worker, under a ticket."""

    worker: Worker
    ticket: int


@dataclass
class Candidate:
    """A configuration that is neither measured nor refused yet, until `outcome` is set.

    Attributes:
        proposed: what was asked for.
        read_back: what TVM made of it.
        structural_hash: of the scheduled module; empty before the replay.
        build_secs: replaying and compiling.
        built: its kernel; None for one that has not been built, or whose twin was.
        outcome: its end.
    """

    proposed: Configuration
    read_back: Configuration
    structural_hash: str = ""
    build_secs: float = 0.0
    built: Built | None = None
    outcome: Outcome | None = None

    @property
    def runnable(self) -> bool:
        """Whether its kernel waits in a worker that lives."""
        return self.outcome is None and self.built is not None and not self.built.worker.closed

    def end(self, status: Status, message: str = "", timing: Timing | None = None) -> None:
        """Set the outcome."""
        self.outcome = Outcome(
            self.read_back,
            self.proposed,
            self.structural_hash,
            status,
            samples=timing.samples if timing else (),
            message=message,
            build_secs=self.build_secs,
            run_secs=timing.spent_secs if timing else 0.0,
        )

    def adopt(self, outcome: Outcome) -> None:
        """Take the outcome of the same module, measured for another configuration or before."""
        self.outcome = dataclasses.replace(
            outcome,
            configuration=self.read_back,
            proposed=self.proposed,
            build_secs=self.build_secs,
            run_secs=0.0,
        )


def share_outcomes(candidates: Iterable[Candidate]) -> None:
    """Let candidates without an outcome adopt that of a twin, a candidate with the same module."""
    candidates = list(candidates)
    done = {c.structural_hash: c.outcome for c in candidates if c.outcome and c.structural_hash}
    for candidate in candidates:
        if candidate.outcome is None and candidate.structural_hash in done:
            candidate.adopt(done[candidate.structural_hash])
