"""The kernels of a tuned network where they are: in their order, on their own buffers."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tvm_ffi

from chameleon_tuner.tvm.deploy import Library
from chameleon_tuner.tvm.kernels import shape_bytes

_NO_KERNELS = ("vm.", "relax.run.")
"""Begin the names of what the virtual machine and Relax's runtime do themselves."""

_ISOLATED_SECS = 0.02
"""For so long a kernel is repeated in a round by itself."""


@dataclass
class Call:
    """One call of a kernel.

    Attributes:
        name: of the kernel.
        bytes: of its arguments.
        network_secs: of every round.
        isolated_secs: of every round, of one call of many.
    """

    name: str
    bytes: int
    network_secs: list[float] = field(default_factory=list)
    isolated_secs: list[float] = field(default_factory=list)


class Recorded:
    """The kernels that one call of the network runs, to be run again.

    They are called from here and not by the virtual machine: its hook before and after every call
    would be in the time, some microseconds for each. A call from Python costs half of one.

    Args:
        library: of the network.
        inputs: by name.

    Attributes:
        calls: in the order of the network.
    """

    def __init__(self, library: Library, inputs: Mapping[str, Any]) -> None:
        self._functions: list[tuple[Any, list[Any]]] = []
        self.calls: list[Call] = []

        def note(function: Any, name: str, before: bool, _: Any, *arguments: Any) -> int:
            kernel = isinstance(function, tvm_ffi.Function) and not name.startswith(_NO_KERNELS)
            if before and kernel:
                self._functions.append((function, list(arguments)))
                self.calls.append(Call(name, sum(map(_bytes, arguments))))
            return 0  # go on with the call

        library.instrumented(inputs, note)

    def round(self, at_least_secs: float) -> None:
        """Time every call in the order of the network, again and again; the mean is a sample.

        The first pass does not count: it finds the caches as somebody else left them.
        """
        clock, begin_all, passes = time.perf_counter, time.perf_counter(), 0
        sums = [0.0] * len(self.calls)
        while passes < 2 or clock() - begin_all < at_least_secs:
            for position, (function, arguments) in enumerate(self._functions):
                begin = clock()
                function(*arguments)
                sums[position] += (clock() - begin) if passes else 0.0
            passes += 1
        for call, total in zip(self.calls, sums, strict=True):
            call.network_secs.append(total / (passes - 1))

    def isolated_round(self) -> None:
        """Time every call by itself, again and again."""
        for call, (function, arguments) in zip(self.calls, self._functions, strict=True):
            once = statistics.median(call.network_secs)
            number = max(1, math.ceil(_ISOLATED_SECS / max(once, 1e-7)))
            function(*arguments)
            begin = time.perf_counter()
            for _ in range(number):
                function(*arguments)
            call.isolated_secs.append((time.perf_counter() - begin) / number)


def _bytes(argument: Any) -> int:
    """Of a tensor; 0 of what is none."""
    shape, dtype = getattr(argument, "shape", None), getattr(argument, "dtype", None)
    if shape is None or dtype is None:
        return 0
    return shape_bytes((tuple(int(extent) for extent in shape), str(dtype)))
