"""Candidates in a worker: built side by side, run alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import count

from chameleon_tuner.backends.program.learned import Loaded, Programs
from chameleon_tuner.backends.program.running import Candidate, fill
from chameleon_tuner.backends.program.template import Value
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Scheduled
from chameleon_tuner.ports.measurer import Timing, TimingPolicy, time_candidate
from chameleon_tuner.system.commands import Guard


class Candidates:
    """Builds and runs candidates; implements `ports.handler.CandidateHandler`."""

    def __init__(self, programs: Programs, guard: Guard) -> None:
        self._programs, self._guard = programs, guard
        self._tickets = count(1)
        self._scheduled: dict[int, tuple[Loaded, Mapping[str, Value]]] = {}
        self._built: dict[int, tuple[Loaded, Candidate]] = {}

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        """See `CandidateHandler.replay`. The structural hash is that of the commands."""
        loaded = self._programs[key]
        values = loaded.values(configuration)
        ticket = next(self._tickets)
        self._scheduled[ticket] = loaded, values
        return Scheduled(ticket, configuration, fill(loaded.spec, values).identity)

    def compile(self, ticket: int) -> None:
        """See `CandidateHandler.compile`."""
        loaded, values = self._scheduled.pop(ticket)
        candidate = loaded.candidate(values, self._guard)
        try:
            candidate.build()
        except BaseException:
            candidate.drop()
            raise
        self._built[ticket] = loaded, candidate

    def forget(self, ticket: int) -> None:
        """See `CandidateHandler.forget`."""
        self._scheduled.pop(ticket, None)
        built = self._built.pop(ticket, None)
        if built is not None:
            built[1].drop()

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """See `CandidateHandler.run`. The output of every run is checked.

        The budget of the policy is one of wall-clock time: a kernel of a millisecond may be in a
        program that takes seconds to start.
        """
        loaded, candidate = self._built.pop(ticket)
        try:
            first = loaded.run(candidate)
            affordable = max(1, int(policy.budget_secs / first.wall_secs))
            bounded = replace(
                policy,
                min_samples=min(policy.min_samples, affordable),
                max_samples=min(policy.max_samples, affordable),
            )
            run = partial(_mean_secs, loaded, candidate, [first.secs])
            return time_candidate(run, incumbent_secs, bounded)
        finally:
            candidate.drop()


def _mean_secs(loaded: Loaded, candidate: Candidate, before: list[float], runs: int) -> float:
    """Return the mean seconds of a number of runs, of which some may have been made before."""
    secs = [before.pop() if before else loaded.run(candidate).secs for _ in range(runs)]
    return statistics.fmean(secs)
