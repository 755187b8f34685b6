"""What a worker process does: replay, compile and run candidates of the tasks it was told."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.measure.timing import Timing, TimingPolicy, time_candidate
from chameleon_tuner.space import Configuration, ForeignTrace
from chameleon_tuner.tvm.alternatives import Winograd
from chameleon_tuner.tvm.kernels import (
    Arguments,
    Kernel,
    argument_shapes,
    compile_as_is,
    compile_by_tvm,
    compile_candidate,
    compile_untuned,
    device_of,
    random_array,
    seed_of,
    weights_of,
)
from chameleon_tuner.tvm.lean import lean_lowering
from chameleon_tuner.tvm.traces import Replayed, TracedSpace, traced_space

Timer = Callable[[int], float]
"""Runs a kernel so many times; seconds of one run."""

Build = Callable[[IRModule, Target], Kernel]

_SLOW_SECS = 0.5
"""What takes longer is run once when it is judged: the noise is in the milliseconds."""

_UNTUNED_SECS = 0.05
"""The same for the untuned kernel: a finalist that is as slow has no need to be compared well.
Untuned convolutions take 100 to 1,000 times as long as tuned ones."""

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

    def load_task(self, key: str, module: str, target: dict[str, Any]) -> None:
        """Learn a task: its module and target, both as JSON."""
        self._spaces[key] = traced_space(module, target)

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

    def judge(
        self,
        key: str,
        finalists: list[tuple[str, Configuration]],
        rounds: int,
        round_secs: float,
        tolerance: float = -1.0,
        apart_bytes: int = 0,
    ) -> list[Judged]:
        """Compare the untuned kernel (first) and finalists on the same random inputs.

        All are timed as they are deployed, interleaved. Then outputs are compared, on weights in
        the original layout, fastest first, until one is within the tolerance: a check compiles
        the kernel again.

        Args:
            key: of the task whose untuned kernel it is.
            finalists: keys of tasks, which all compute that kernel, and configurations.
            rounds: of timing.
            round_secs: of each.
            tolerance: see above; below 0 all outputs are compared.
            apart_bytes: see `TimingPolicy`.
        """
        space = self._spaces[key]
        untuned = compile_untuned(space.module, space.target)
        inputs = _original_inputs(space, seed_of(key))
        expected = _outputs(untuned, inputs, space.target)
        contestants = [
            self._warmed(key, untuned, apart_bytes, _UNTUNED_SECS),
            *(self._contestant(task, c, compile_candidate, apart_bytes) for task, c in finalists),
        ]
        slow_secs = [_UNTUNED_SECS] + [_SLOW_SECS] * len(finalists)
        judged = _interleave(contestants, rounds, round_secs, slow_secs)
        judged[0] = replace(judged[0], error=0.0)
        by_speed = sorted(
            (n for n in range(1, len(judged)) if judged[n].samples),
            key=lambda n: statistics.median(judged[n].samples),
        )
        for number in by_speed:
            task, configuration = finalists[number - 1]
            judged[number] = self._checked(task, configuration, judged[number], inputs, expected)
            error = judged[number].error
            if error is not None and error <= tolerance:
                break
        return judged

    def time(
        self,
        key: str,
        configurations: list[Configuration | ForeignTrace],
        rounds: int,
        round_secs: float,
    ) -> list[Judged]:
        """Time candidates interleaved, on re-laid-out weights, in the same memory.

        Every one that can be built has all its rounds, however slow. Outputs are not compared.
        All are lowered as TVM does it, whoever found them.
        """
        contestants = [self._contestant(key, c, compile_by_tvm) for c in configurations]
        return _interleave(contestants, rounds, round_secs)

    def _contestant(
        self,
        key: str,
        configuration: Configuration | ForeignTrace,
        build: Build,
        apart_bytes: int = 0,
    ) -> Contestant:
        space = self._spaces[key]
        try:
            if isinstance(configuration, ForeignTrace):
                module = space.retraced(configuration).mod
            else:
                module = space.replay(configuration).schedule.mod
            return self._warmed(key, build(module, space.target), apart_bytes)
        except Exception as failure:  # a candidate's failure is its own
            return Contestant(None, math.inf, _reason(failure))

    def _checked(
        self,
        key: str,
        configuration: Configuration,
        judged: Judged,
        inputs: list[Any],
        expected: list[Any],
    ) -> Judged:
        """How far a finalist's output is from the expected one."""
        try:
            outputs = self._outputs(key, configuration, inputs)
        except Exception as failure:  # a finalist's failure is its own
            return replace(judged, error=math.nan, message=_reason(failure))
        return replace(judged, error=difference(outputs, expected))

    def _outputs(self, key: str, configuration: Configuration, inputs: list[Any]) -> list[Any]:
        """What a finalist computes, on weights in the original layout."""
        space = self._spaces[key]
        module = space.replay(configuration).schedule.mod
        with lean_lowering(space.target):
            kernel = compile_as_is(module, space.target)
        way = Winograd.of(space.module["main"])
        if way is None:
            return _outputs(kernel, inputs, space.target)
        outputs = _outputs(kernel, way.arguments(inputs), space.target)
        outputs[way.weight] = np.asarray(inputs[way.weight], dtype=np.float64)
        return outputs

    def _warmed(
        self, key: str, kernel: Kernel, apart_bytes: int, slow_secs: float = _SLOW_SECS
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


def _interleave(
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


def _reason(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"[:300]


def difference(actual: list[Any], expected: list[Any]) -> float:
    """The largest difference over outputs, relative to the largest expected magnitude."""
    worst = 0.0
    for mine, theirs in zip(actual, expected, strict=True):
        if not np.isfinite(mine).all():
            return float("nan")
        scale = max(float(np.abs(theirs).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(mine - theirs).max(initial=0.0)) / scale)
    return worst


def _original_inputs(space: TracedSpace, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [random_array(shape, dtype, rng) for shape, dtype in argument_shapes(space.module)]


def _outputs(kernel: Kernel, inputs: list[Any], target: Target) -> list[Any]:
    """All arguments after a run: whichever of them the kernel writes is among them."""
    tensors = [tvm.runtime.tensor(array, device=device_of(target)) for array in inputs]
    kernel(*tensors)
    return [np.asarray(tensor.numpy(), dtype=np.float64) for tensor in tensors]
