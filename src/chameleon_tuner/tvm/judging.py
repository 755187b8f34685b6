"""The final of a kernel, in a worker: its fastest candidates beside the untuned one."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chameleon_tuner.space import Configuration
from chameleon_tuner.stopwatch import mean_secs
from chameleon_tuner.tvm.alternatives import Winograd
from chameleon_tuner.tvm.kernels import (
    Kernel,
    argument_shapes,
    compile_candidate,
    compile_untuned,
    is_gpu,
    random_array,
    seed_of,
    tensors_of,
    weights_of,
)
from chameleon_tuner.tvm.relaying import relaid
from chameleon_tuner.tvm.traces import TracedSpace
from chameleon_tuner.tvm.worker import (
    SLOW_SECS,
    Contestant,
    Judged,
    KernelWorker,
    interleave,
    reason_of,
)

_UNTUNED_SECS = 0.05
"""What takes longer untuned is run once: a finalist that is as slow has no need to be compared
well. Untuned convolutions take 100 to 1,000 times as long as tuned ones."""

_HOPELESS, _HOPELESS_SECS = 10.0, 0.5
"""Times as long as the fastest finalist, and seconds, from where the untuned kernel's run for its
outputs tells enough of its time. The machine was not its own then, and has hiccups of 0.1 s."""


@dataclass
class _Final:
    """The final that a worker holds.

    Attributes:
        key: of the task whose untuned kernel it is.
        finalists: keys of tasks, which all compute that kernel, and configurations.
        untuned: the kernel.
        untuned_secs: that it took for the expected outputs, beside the builds of other finals.
        kernels: the finalists'; the reason in place of one that cannot be built.
        inputs: in the original layout.
        expected: what the untuned kernel makes of them.
        judged: the timings.
    """

    key: str
    finalists: list[tuple[str, Configuration]]
    untuned: Kernel
    untuned_secs: float
    kernels: list[Kernel | str]
    inputs: list[Any]
    expected: list[Any]
    judged: list[Judged]


class JudgingWorker(KernelWorker):
    """Handler of requests about finals, one at a time, beside those about candidates.

    A final is made ready, contended and judged: only the second needs the machine to itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._final: _Final | None = None

    def ready(self, key: str, finalists: list[tuple[str, Configuration]]) -> None:
        """Build all kernels of a final, and learn what the untuned one computes."""
        self._final = None  # before the next: it may be large
        space = self._spaces[key]
        untuned = compile_untuned(space.module, space.target)
        inputs = _original_inputs(space, seed_of(key))
        tensors = tensors_of(inputs, space.target)
        secs = mean_secs(lambda: untuned(*tensors), 0.0)  # a single run
        expected = self._written(key, tensors)
        kernels = [self._finalist(*finalist) for finalist in finalists]
        self._final = _Final(key, finalists, untuned, secs, kernels, inputs, expected, [])

    def contend(self, rounds: int, round_secs: float, apart_bytes: int = 0) -> None:
        """Time the kernels interleaved, with weights as cold as they are in the network.

        Args:
            rounds: of timing.
            round_secs: of each.
            apart_bytes: see `TimingPolicy`.
        """
        final = self._held()
        # Backwards: those of the kernel's own task come first, and share its inputs.
        pairs = zip(final.finalists[::-1], final.kernels[::-1], strict=True)
        finalists = [self._contending(task, kernel, apart_bytes) for (task, _), kernel in pairs]
        finalists.reverse()
        fastest_secs = min((one.once_secs for one in finalists), default=math.inf)
        untuned = self._untuned(final, fastest_secs, apart_bytes)
        slow_secs = [_UNTUNED_SECS] + [SLOW_SECS] * len(finalists)
        final.judged = interleave([untuned, *finalists], rounds, round_secs, slow_secs)

    def judge(self, tolerance: float = -1.0) -> list[Judged]:
        """Compare the outputs of the kernels that were timed; the untuned one comes first.

        The fastest are compared first, until one is within the tolerance. The final is over then.

        Args:
            tolerance: see above; below 0 all outputs are compared.
        """
        final, self._final = self._held(), None
        judged = [replace(final.judged[0], error=0.0), *final.judged[1:]]
        by_speed = sorted(
            (n for n in range(1, len(judged)) if judged[n].samples),
            key=lambda n: statistics.median(judged[n].samples),
        )
        for number in by_speed:
            judged[number] = self._checked(final, number - 1, judged[number])
            error = judged[number].error
            if error is not None and error <= tolerance:
                break
        return judged

    def _held(self) -> _Final:
        if self._final is None:
            raise LookupError("no final was made ready")
        return self._final

    def _finalist(self, key: str, configuration: Configuration) -> Kernel | str:
        try:
            return self._built(key, configuration, compile_candidate)
        except Exception as failure:  # a finalist's failure is its own
            return reason_of(failure)

    def _untuned(self, final: _Final, fastest_secs: float, apart_bytes: int) -> Contestant:
        hopeless = final.untuned_secs > max(_HOPELESS_SECS, _HOPELESS * fastest_secs)
        if hopeless and not is_gpu(self._spaces[final.key].target):
            return Contestant(_never, final.untuned_secs)
        return self._warmed(final.key, final.untuned, apart_bytes, _UNTUNED_SECS)

    def _contending(self, key: str, kernel: Kernel | str, apart_bytes: int) -> Contestant:
        if isinstance(kernel, str):
            return Contestant(None, math.inf, kernel)
        try:
            return self._warmed(key, kernel, apart_bytes)
        except Exception as failure:  # a finalist's failure is its own
            return Contestant(None, math.inf, reason_of(failure))

    def _checked(self, final: _Final, number: int, judged: Judged) -> Judged:
        """How far a finalist's output is from the expected one."""
        try:
            tensors = self._outputs(*final.finalists[number], final.kernels[number], final.inputs)
            error = difference(self._written(final.key, tensors), final.expected)
        except Exception as failure:  # a finalist's failure is its own
            return replace(judged, error=math.nan, message=reason_of(failure))
        return replace(judged, error=error)

    def _outputs(
        self, key: str, configuration: Configuration, kernel: Any, inputs: list[Any]
    ) -> list[Any]:
        """All arguments of a finalist after it ran on inputs in the original layout."""
        space = self._spaces[key]
        way = Winograd.of(space.module["main"])
        arguments = inputs if way is None else way.arguments(inputs)
        scheduled = space.replay(configuration).schedule.mod
        tensors = relaid(scheduled, arguments, space.target)
        shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
        if shapes != kernel.shapes:  # it does not check
            raise ValueError(f"the kernel takes {kernel.shapes}, not {shapes}")
        kernel(*tensors)
        return tensors

    def _written(self, key: str, tensors: list[Any]) -> list[Any]:
        """All arguments but the weights: whichever of them a kernel writes is among them."""
        weights = weights_of(self._spaces[key].module["main"])
        return [
            np.asarray(tensor.numpy(), dtype=np.float64)
            for number, tensor in enumerate(tensors)
            if number not in weights
        ]


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


def _never(runs: int) -> float:
    """The timer of what is not run again."""
    raise AssertionError(runs)
