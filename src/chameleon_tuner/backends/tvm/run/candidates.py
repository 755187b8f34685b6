"""Building and running candidates, and timing kernels of any tuner, in a worker."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from chameleon_tuner.backends.tvm.lower.kernel import (
    Kernel,
    compile_by_tvm,
    compile_candidate,
    compile_deployed,
)
from chameleon_tuner.backends.tvm.run.workbench import WarmKernel, Workbench, interleave, reason_of
from chameleon_tuner.backends.tvm.space.traces import Replayed
from chameleon_tuner.core.configuration import Configuration, DeployedKernel, LoweredByTVM
from chameleon_tuner.ports.handler import Scheduled, Timed
from chameleon_tuner.ports.measurer import Timing, TimingPolicy, time_candidate


class Candidates:
    """Candidates on their way through a worker; implements `ports.handler.CandidateHandler`.

    Args:
        bench: The tasks that the worker knows.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._replayed: dict[int, tuple[str, Replayed]] = {}
        self._kernels: dict[int, tuple[str, Kernel]] = {}
        self._tickets = itertools.count()

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        """See `CandidateHandler.replay`."""
        replayed = self._bench.space(key).replay(configuration)
        ticket = next(self._tickets)
        self._replayed[ticket] = key, replayed
        return Scheduled(ticket, replayed.configuration, replayed.structural_hash)

    def compile(self, ticket: int) -> None:
        """See `CandidateHandler.compile`."""
        key, replayed = self._replayed.pop(ticket)
        target = self._bench.space(key).target
        self._kernels[ticket] = key, compile_candidate(replayed.schedule.mod, target)

    def forget(self, ticket: int) -> None:
        """See `CandidateHandler.forget`."""
        self._replayed.pop(ticket, None)
        self._kernels.pop(ticket, None)

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """See `CandidateHandler.run`."""
        key, kernel = self._kernels.pop(ticket)
        timer = self._bench.timer(key, kernel, policy.apart_bytes)
        return time_candidate(timer, incumbent_secs, policy)


class NeutralTimer:
    """Times kernels on re-laid-out weights, in the same memory; see `ports.handler.NeutralHandler`.

    A configuration is lowered as this project deploys it, other kernels as TVM does it.

    Args:
        bench: The tasks that the worker knows.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def time(
        self, key: str, kernels: Sequence[DeployedKernel], rounds: int, round_secs: float
    ) -> list[Timed]:
        """See `NeutralHandler.time`."""
        contestants = [self._contestant(key, kernel) for kernel in kernels]
        return interleave(contestants, rounds, round_secs)

    def _contestant(self, key: str, deployed: DeployedKernel) -> WarmKernel:
        try:
            build = compile_deployed if isinstance(deployed, Configuration) else compile_by_tvm
            kernel = deployed.configuration if isinstance(deployed, LoweredByTVM) else deployed
            return self._bench.warmed(key, self._bench.build(key, kernel, build))
        except Exception as failure:  # a candidate's failure is its own
            return WarmKernel(None, math.inf, reason_of(failure))
