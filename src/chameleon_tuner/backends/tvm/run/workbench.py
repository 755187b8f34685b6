"""What the parts of a worker share: the tasks that it knows, their inputs, and timing kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm.ir import IRModule
from tvm.target import Target

from chameleon_tuner.backends.tvm.lower.kernel import (
    Kernel,
    argument_shapes,
    device_of,
    weights_of,
)
from chameleon_tuner.backends.tvm.rewrites.base import traced_space
from chameleon_tuner.backends.tvm.run.arguments import Arguments
from chameleon_tuner.backends.tvm.space.traces import NoSpaceError, TracedSpace
from chameleon_tuner.core.configuration import Configuration, ForeignTrace
from chameleon_tuner.ports.handler import RejectedError, Timed
from chameleon_tuner.space.plain import from_plain, to_plain

Timer = Callable[[int], float]
"""Runs a kernel a number of times and returns the seconds of one run."""

Build = Callable[[IRModule, Target], Kernel]

SLOW_SECS = 0.5
"""A kernel that takes longer is run once when it is judged: the noise is in the milliseconds."""

_WARM_SECS = 0.005
"""A kernel runs twice for this long before its rounds. Kernels of microseconds read up to twice as
long when they were run singly, and would have rounds of half their length."""


@dataclass(frozen=True)
class WarmKernel:
    """A kernel before its rounds of an interleaved timing.

    Attributes:
        timer: Times it; None for a kernel that failed.
        once_secs: Seconds of one warm run, or of the first run where that is slow.
        message: The cause of a failure.
    """

    timer: Timer | None
    once_secs: float
    message: str = ""


class Workbench:
    """The tasks that a worker knows; implements `ports.handler.TaskHandler`."""

    def __init__(self) -> None:
        self._spaces: dict[str, TracedSpace] = {}
        self._arguments: tuple[str, Arguments] | None = None

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        """See `TaskHandler.load_task`."""
        known = None if design is None else from_plain(design)
        space = traced_space(module, target, known)
        space.generate()
        self._spaces[key] = space

    def derive_space(self, key: str, module: str, target: dict[str, Any]) -> Any:
        """See `TaskHandler.derive_space`."""
        try:
            space = traced_space(module, target)
        except NoSpaceError as error:
            raise RejectedError(str(error)) from None
        self._spaces[key] = space
        return to_plain(space.design)

    def space(self, key: str) -> TracedSpace:
        """Return the space of a task.

        Raises:
            KeyError: The task was not loaded.
        """
        return self._spaces[key]

    def build(self, key: str, kernel: Configuration | ForeignTrace, build: Build) -> Kernel:
        """Schedule and compile a candidate of a task.

        Args:
            key: Key of the task.
            kernel: The candidate.
            build: Compiles it.

        Returns:
            The compiled kernel.
        """
        space = self._spaces[key]
        if isinstance(kernel, ForeignTrace):
            module = space.retraced(kernel).mod
        else:
            module = space.replay(kernel).schedule.mod
        return build(module, space.target)

    def timer(self, key: str, kernel: Kernel, apart_bytes: int) -> Timer:
        """Return a timer of a kernel on the inputs of its task.

        Args:
            key: Key of the task.
            kernel: The kernel.
            apart_bytes: See `TimingPolicy.apart_bytes`.

        Returns:
            The timer.
        """
        return kernel.timer(self._inputs(key).turns(kernel.shapes, apart_bytes))

    def warmed(
        self, key: str, kernel: Kernel, apart_bytes: int = 0, slow_secs: float = SLOW_SECS
    ) -> WarmKernel:
        """Run a kernel until it is warm.

        Args:
            key: Key of the task.
            kernel: The kernel.
            apart_bytes: See `TimingPolicy.apart_bytes`.
            slow_secs: A kernel that takes longer is run once only.

        Returns:
            The kernel, ready for its rounds.
        """
        timer = self.timer(key, kernel, apart_bytes)
        once_secs = timer(1)
        if once_secs < slow_secs:
            for _ in range(2):  # a hiccup would leave it with few runs a round
                once_secs = min(once_secs, timer(_runs(_WARM_SECS, once_secs)))
        return WarmKernel(timer, once_secs)

    def _inputs(self, key: str) -> Arguments:
        """Return the inputs of a task; those of one task are kept."""
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
    contestants: list[WarmKernel],
    rounds: int,
    round_secs: float,
    slow_secs: Sequence[float] | None = None,
) -> list[Timed]:
    """Time kernels in rounds, each kernel for about `round_secs` a round.

    Args:
        contestants: The kernels.
        rounds: Number of rounds.
        round_secs: Seconds of a kernel in a round.
        slow_secs: Limits by kernel. One whose first run took longer has only that run.

    Returns:
        The samples of every kernel, in order; outputs are not compared.
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
        Timed(tuple(mine), None, contestant.message)
        for mine, contestant in zip(samples, contestants, strict=True)
    ]


def _order(count: int, number: int) -> Any:
    """Return the order of a round: shuffled, and every second round reverses the one before it.

    So no kernel runs behind the same neighbour each time, and a drift of the machine evens out. The
    order is the same in every process.
    """
    order = np.random.default_rng(number // 2).permutation(count)
    return order[::-1] if number % 2 else order


def _runs(secs: float, once_secs: float) -> int:
    """Return how many runs of `once_secs` take at least `secs`."""
    return max(1, math.ceil(secs / max(once_secs, 1e-7)))


def reason_of(failure: Exception) -> str:
    """Return why a kernel failed, for people."""
    return f"{type(failure).__name__}: {failure}"[:300]
