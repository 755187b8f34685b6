"""The final of a kernel, in a worker: its fastest candidates beside the untuned kernel."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from chameleon_tuner.backends.tvm.lower.kernel import (
    Kernel,
    argument_shapes,
    compile_candidate,
    compile_untuned,
    weights_of,
)
from chameleon_tuner.backends.tvm.rewrites.base import transformed
from chameleon_tuner.backends.tvm.run.arguments import random_array, relaid, seed_of, tensors_of
from chameleon_tuner.backends.tvm.run.workbench import (
    SLOW_SECS,
    WarmKernel,
    Workbench,
    interleave,
    reason_of,
)
from chameleon_tuner.backends.tvm.space.traces import TracedSpace
from chameleon_tuner.backends.tvm.targets import is_gpu
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.handler import Timed
from chameleon_tuner.system.clock import mean_secs

_UNTUNED_SECS = 0.05
"""An untuned kernel that takes longer is run once: a finalist that is as slow needs no precise
comparison. Untuned convolutions take 100 to 1,000 times as long as tuned ones."""

_HOPELESS, _HOPELESS_SECS = 10.0, 0.5
"""An untuned kernel that takes this multiple of the fastest finalist, and these seconds, in the run
for its outputs is not timed again. The machine was not its own then, and has hiccups of 0.1 s."""


class FinalistKernels(Protocol):
    """Builds the kernels of finalists and runs them for their outputs."""

    def build(self, key: str, configuration: Configuration) -> Kernel:
        """Build the kernel of a finalist of a task."""
        ...

    def outputs(
        self, key: str, configuration: Configuration, kernel: Kernel, inputs: list[Any]
    ) -> list[Any]:
        """Run a finalist on inputs in the network's layout.

        Args:
            key: Key of the task.
            configuration: The finalist.
            kernel: Its kernel.
            inputs: Arrays in the layout that the network has.

        Returns:
            All arguments of the kernel after the run, as tensors.
        """
        ...


class CompiledFinalists:
    """Finalists as they would be deployed; implements `FinalistKernels`.

    Args:
        bench: The tasks that the worker knows.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def build(self, key: str, configuration: Configuration) -> Kernel:
        """See `FinalistKernels.build`."""
        return self._bench.build(key, configuration, compile_candidate)

    def outputs(
        self, key: str, configuration: Configuration, kernel: Kernel, inputs: list[Any]
    ) -> list[Any]:
        """See `FinalistKernels.outputs`."""
        space = self._bench.space(key)
        arguments = transformed(space.module["main"], inputs)
        scheduled = space.replay(configuration).schedule.mod
        tensors = relaid(scheduled, arguments, space.target)
        shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
        if shapes != kernel.shapes:  # it does not check
            raise ValueError(f"the kernel takes {kernel.shapes}, not {shapes}")
        kernel(*tensors)
        return tensors


@dataclass
class _Final:
    """The final that a worker holds.

    Attributes:
        key: Key of the task whose untuned kernel takes part.
        finalists: Keys of tasks, which all compute that kernel, and configurations.
        untuned: The untuned kernel.
        untuned_secs: Seconds of its run for the expected outputs, beside builds of other finals.
        kernels: The kernels of the finalists; the reason in place of one that cannot be built.
        inputs: Inputs in the network's layout.
        expected: Outputs of the untuned kernel.
        timed: The timings.
    """

    key: str
    finalists: Sequence[tuple[str, Configuration]]
    untuned: Kernel
    untuned_secs: float
    kernels: list[Kernel | str]
    inputs: list[Any]
    expected: list[Any]
    timed: list[Timed]


class Finals:
    """Judges one final at a time; implements `ports.handler.FinalHandler`.

    A final is made ready, contended and judged: only the second needs the machine to itself.

    Args:
        bench: The tasks that the worker knows.
        kernels: Builds and runs the finalists.
    """

    def __init__(self, bench: Workbench, kernels: FinalistKernels) -> None:
        self._bench, self._kernels = bench, kernels
        self._final: _Final | None = None

    def ready(self, key: str, finalists: Sequence[tuple[str, Configuration]]) -> None:
        """See `FinalHandler.ready`."""
        self._final = None  # before the next: it may be large
        space = self._bench.space(key)
        untuned = compile_untuned(space.module, space.target)
        inputs = _original_inputs(space, seed_of(key))
        tensors = tensors_of(inputs, space.target)
        secs = mean_secs(lambda: untuned(*tensors), 0.0)  # a single run
        expected = self._written(key, tensors)
        kernels = [self._finalist(*finalist) for finalist in finalists]
        self._final = _Final(key, finalists, untuned, secs, kernels, inputs, expected, [])

    def contend(self, rounds: int, round_secs: float, apart_bytes: int = 0) -> None:
        """See `FinalHandler.contend`."""
        final = self._held()
        # Backwards: those of the kernel's own task come first, and share its inputs.
        pairs = zip(final.finalists[::-1], final.kernels[::-1], strict=True)
        finalists = [self._contending(task, kernel, apart_bytes) for (task, _), kernel in pairs]
        finalists.reverse()
        fastest_secs = min((one.once_secs for one in finalists), default=math.inf)
        untuned = self._untuned(final, fastest_secs, apart_bytes)
        slow_secs = [_UNTUNED_SECS] + [SLOW_SECS] * len(finalists)
        final.timed = interleave([untuned, *finalists], rounds, round_secs, slow_secs)

    def judge(self, tolerance: float = -1.0) -> list[Timed]:
        """See `FinalHandler.judge`."""
        final, self._final = self._held(), None
        timed = [replace(final.timed[0], error=0.0), *final.timed[1:]]
        by_speed = sorted(
            (n for n in range(1, len(timed)) if timed[n].samples),
            key=lambda n: statistics.median(timed[n].samples),
        )
        for number in by_speed:
            timed[number] = self._checked(final, number - 1, timed[number])
            error = timed[number].error
            if error is not None and error <= tolerance:
                break
        return timed

    def _held(self) -> _Final:
        if self._final is None:
            raise LookupError("no final was made ready")
        return self._final

    def _finalist(self, key: str, configuration: Configuration) -> Kernel | str:
        try:
            return self._kernels.build(key, configuration)
        except Exception as failure:  # a finalist's failure is its own
            return reason_of(failure)

    def _untuned(self, final: _Final, fastest_secs: float, apart_bytes: int) -> WarmKernel:
        hopeless = final.untuned_secs > max(_HOPELESS_SECS, _HOPELESS * fastest_secs)
        if hopeless and not is_gpu(self._bench.space(final.key).target):
            return WarmKernel(_never, final.untuned_secs)
        return self._bench.warmed(final.key, final.untuned, apart_bytes, _UNTUNED_SECS)

    def _contending(self, key: str, kernel: Kernel | str, apart_bytes: int) -> WarmKernel:
        if isinstance(kernel, str):
            return WarmKernel(None, math.inf, kernel)
        try:
            return self._bench.warmed(key, kernel, apart_bytes)
        except Exception as failure:  # a finalist's failure is its own
            return WarmKernel(None, math.inf, reason_of(failure))

    def _checked(self, final: _Final, number: int, timed: Timed) -> Timed:
        """Return a finalist's timing with the difference of its output from the expected one."""
        kernel = final.kernels[number]
        assert isinstance(kernel, Kernel)  # noqa: S101 - it has samples
        try:
            tensors = self._kernels.outputs(*final.finalists[number], kernel, final.inputs)
            error = difference(self._written(final.key, tensors), final.expected)
        except Exception as failure:  # a finalist's failure is its own
            return replace(timed, error=math.nan, message=reason_of(failure))
        return replace(timed, error=error)

    def _written(self, key: str, tensors: list[Any]) -> list[Any]:
        """Return all arguments but the weights: the outputs are among them."""
        weights = weights_of(self._bench.space(key).module["main"])
        return [tensor.numpy() for number, tensor in enumerate(tensors) if number not in weights]


def _original_inputs(space: TracedSpace, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [random_array(shape, dtype, rng) for shape, dtype in argument_shapes(space.module)]


def _never(runs: int) -> float:
    """Fail: this is the timer of a kernel that is not run again."""
    raise AssertionError(runs)
