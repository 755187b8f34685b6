"""What a worker process does: replay, compile and run candidates of the tasks it was told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.measure.timing import Timing, TimingPolicy, time_candidate
from chameleon_tuner.space import Configuration, Deployed, ForeignTrace, LoweredByTVM
from chameleon_tuner.space.plain import from_plain
from chameleon_tuner.tvm.kernels import (
    Arguments,
    Kernel,
    argument_shapes,
    compile_by_tvm,
    compile_candidate,
    compile_deployed,
    device_of,
    weights_of,
)
from chameleon_tuner.tvm.traces import Replayed, TracedSpace, traced_space

Timer = Callable[[int], float]
"""Runs a kernel so many times; seconds of one run."""

Build = Callable[[IRModule, Target], Kernel]

SLOW_SECS = 0.5
"""What takes longer is run once when it is judged: the noise is in the milliseconds."""

_WARM_SECS = 0.005
"""For so long a kernel runs, twice, before its rounds: what takes microseconds read up to twice
as long when it was run singly, and would have rounds of half their length.
"""


@dataclass(frozen=True)
class Judged:
    """A candidate or the untuned kernel, re-measured beside the others.

    Attributes:
        samples: seconds of each interleaved round; empty where the kernel failed.
        error: the largest difference from the untuned kernel's output, relative to the output's
            scale; nan where an output is not finite or the kernel failed; None where it was not
            looked at, because a faster one is right or because only the time is wanted.
        message: why it failed, if it did.
    """

    samples: tuple[float, ...]
    error: float | None
    message: str = ""


@dataclass(frozen=True)
class Contestant:
    """A kernel that is judged or timed, before its rounds.

    Attributes:
        timer: None for one that failed.
        once_secs: of one warm run; of the first where that is slow.
        message: see `Judged`.
    """

    timer: Timer | None
    once_secs: float
    message: str = ""


class KernelWorker:
    """Handler of requests; see `chameleon_tuner.measure.nursery.serve`."""

    def __init__(self) -> None:
        self._spaces: dict[str, TracedSpace] = {}
        self._arguments: tuple[str, Arguments] | None = None
        self._replayed: dict[int, tuple[str, Replayed]] = {}
        self._kernels: dict[int, tuple[str, Kernel]] = {}
        self._tickets = itertools.count()

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        """Learn a task: its module and target, both as JSON, and its space, see `to_plain`."""
        known = None if design is None else from_plain(design)
        self._spaces[key] = traced_space(module, target, known)

    def replay(self, key: str, configuration: Configuration) -> tuple[int, Configuration, str]:
        """Schedule a candidate: a ticket for it, the configuration read back, its hash.

        Raises:
            RejectedError: it is refused.
        """
        replayed = self._spaces[key].replay(configuration)
        ticket = next(self._tickets)
        self._replayed[ticket] = key, replayed
        return ticket, replayed.configuration, replayed.structural_hash

    def compile(self, ticket: int) -> None:
        """Compile and load a replayed candidate."""
        key, replayed = self._replayed.pop(ticket)
        target = self._spaces[key].target
        self._kernels[ticket] = key, compile_candidate(replayed.schedule.mod, target)

    def forget(self, ticket: int) -> None:
        """Drop a candidate that will not be compiled or run."""
        self._replayed.pop(ticket, None)
        self._kernels.pop(ticket, None)

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """Time a compiled candidate, and drop it."""
        key, kernel = self._kernels.pop(ticket)
        timer = kernel.timer(self._inputs(key).turns(kernel.shapes, policy.apart_bytes))
        return time_candidate(timer, incumbent_secs, policy)

    def time(
        self,
        key: str,
        configurations: list[Deployed],
        rounds: int,
        round_secs: float,
    ) -> list[Judged]:
        """Time candidates interleaved, on re-laid-out weights, in the same memory.

        Every one that can be built has all its rounds, however slow. Outputs are not compared.
        A configuration is lowered as this project deploys it, the others as TVM does it.
        """
        contestants = [self._contestant(key, c) for c in configurations]
        return interleave(contestants, rounds, round_secs)

    def _contestant(self, key: str, deployed: Deployed) -> Contestant:
        try:
            build = compile_deployed if isinstance(deployed, Configuration) else compile_by_tvm
            kernel = deployed.configuration if isinstance(deployed, LoweredByTVM) else deployed
            return self._warmed(key, self._built(key, kernel, build))
        except Exception as failure:  # a candidate's failure is its own
            return Contestant(None, math.inf, reason_of(failure))

    def _built(self, key: str, configuration: Configuration | ForeignTrace, build: Build) -> Kernel:
        space = self._spaces[key]
        if isinstance(configuration, ForeignTrace):
            module = space.retraced(configuration).mod
        else:
            module = space.replay(configuration).schedule.mod
        return build(module, space.target)

    def _warmed(
        self, key: str, kernel: Kernel, apart_bytes: int = 0, slow_secs: float = SLOW_SECS
    ) -> Contestant:
        timer = kernel.timer(self._inputs(key).turns(kernel.shapes, apart_bytes))
        once_secs = timer(1)
        if once_secs < slow_secs:
            for _ in range(2):  # a hiccup would leave it with few runs a round
                once_secs = min(once_secs, timer(_runs(_WARM_SECS, once_secs)))
        return Contestant(timer, once_secs)

    def _inputs(self, key: str) -> Arguments:
        if self._arguments is None or self._arguments[0] != key:
            self._arguments = None  # before the next is made: they may be large
            space = self._spaces[key]
            arguments = Arguments(
                argument_shapes(space.module),
                device_of(space.target),
                weights_of(space.module["main"]),
            )
            self._arguments = key, arguments
        return self._arguments[1]


def interleave(
    contestants: list[Contestant],
    rounds: int,
    round_secs: float,
    slow_secs: Sequence[float] | None = None,
) -> list[Judged]:
    """Samples of every contestant, a round at a time, each of about `round_secs`.

    With `slow_secs`, the first run is all that a contestant gets whose takes so long.
    """
    samples: list[list[float]] = [[] for _ in contestants]
    limits = slow_secs or [math.inf] * len(contestants)
    for number in range(rounds):
        for index in _order(len(contestants), number):
            timer, once_secs = contestants[index].timer, contestants[index].once_secs
            if timer is None:
                continue
            if once_secs < limits[index]:
                samples[index].append(timer(_runs(round_secs, once_secs)))
            elif number == 0:
                samples[index].append(once_secs)
    return [
        Judged(tuple(mine), None, contestant.message)
        for mine, contestant in zip(samples, contestants, strict=True)
    ]


def _order(count: int, number: int) -> Any:
    """The order of a round, always the same: shuffled, and every second time the last reversed.

    So nobody runs behind the same neighbour each time, and a drift of the machine evens out.
    """
    order = np.random.default_rng(number // 2).permutation(count)
    return order[::-1] if number % 2 else order


def _runs(secs: float, once_secs: float) -> int:
    """How many runs take at least so long, if each takes `once_secs`."""
    return max(1, math.ceil(secs / max(once_secs, 1e-7)))


def reason_of(failure: Exception) -> str:
    """Why a kernel failed, for people."""
    return f"{type(failure).__name__}: {failure}"[:300]
