"""A worker that fails on purpose: fault injection for measurers, with real processes.

Give a pool `HANDLER` as its handler and `environment(...)` with its environment variables:

    rules = Rule(Fault.SEGFAULT, "run", configuration), Rule(Fault.HANG, "compile", one_in=50)
    WorkerPool(HANDLER, 2, environment(*rules))
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import resource
import signal
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from chameleon_tuner.measure.timing import Timing, TimingPolicy
from chameleon_tuner.space import Configuration
from chameleon_tuner.tvm.compare import ModelWorker
from chameleon_tuner.tvm.kernels import Kernel
from chameleon_tuner.tvm.worker import Timer

HANDLER = "chameleon_tuner.testing.faulty_worker:FaultyWorker"
VARIABLE = "CHAMELEON_FAULTS"
"""The environment variable that holds the rules."""

_CHUNK_BYTES = 64 * 2**20


class Fault(str, enum.Enum):
    """What a candidate can do to its worker."""

    SEGFAULT = "segfault"
    KILLED = "killed"
    """By SIGKILL, as when the machine runs out of memory."""
    EXIT = "exit"
    HANG = "hang"
    RAISE = "raise"
    SYSTEM_EXIT = "system_exit"
    ARRAYS = "arrays"
    """Takes memory up to the limit, then Python raises MemoryError."""
    NATIVE_MEMORY = "native_memory"
    """Takes memory up to the limit in C++, which then aborts the process."""
    WRONG_OUTPUT = "wrong_output"
    """Only at the stage `judge`."""
    CLAIMS_TO_BE_FAST = "claims_to_be_fast"
    """At the stage `run` a nanosecond is reported, at the stage `judge` a second more is taken."""


@dataclass(frozen=True)
class Rule:
    """Which candidates have a fault, and where.

    Attributes:
        fault: what happens.
        stage: the request that it happens in: replay, compile, run or judge.
        configuration: the only one that it happens to.
        one_in: it happens to one in so many configurations, always the same ones.
    """

    fault: Fault
    stage: str
    configuration: Configuration | None = None
    one_in: int = 1

    def applies(self, stage: str, configuration: Configuration) -> bool:
        """Whether it happens to this configuration, as it was proposed, at this stage."""
        if self.configuration is not None and self.configuration != configuration:
            return False
        text = json.dumps([self.fault.value, configuration.to_json()])
        return stage == self.stage and zlib.crc32(text.encode()) % self.one_in == 0


def environment(*rules: Rule) -> dict[str, str]:
    """The environment variable that makes `FaultyWorker` obey the rules."""
    plain = [
        (r.fault.value, r.stage, r.configuration and r.configuration.to_json(), r.one_in)
        for r in rules
    ]
    return {VARIABLE: json.dumps(plain)}


def _rules() -> list[Rule]:
    plain = json.loads(os.environ.get(VARIABLE, "[]"))
    return [
        Rule(Fault(fault), stage, only and Configuration.from_json(only), one_in)
        for fault, stage, only, one_in in plain
    ]


class FaultyWorker(ModelWorker):
    """A `ModelWorker` whose candidates fail as the rules in its environment say."""

    def __init__(self) -> None:
        super().__init__()
        self._rules = _rules()
        self._proposed: dict[int, Configuration] = {}

    def replay(self, key: str, configuration: Configuration) -> tuple[int, Configuration, str]:
        """See `KernelWorker.replay`."""
        self._fail("replay", configuration)
        ticket, read_back, structural_hash = super().replay(key, configuration)
        self._proposed[ticket] = configuration
        return ticket, read_back, structural_hash

    def compile(self, ticket: int) -> None:
        """See `KernelWorker.compile`."""
        self._fail("compile", self._proposed[ticket])
        super().compile(ticket)

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """See `KernelWorker.run`."""
        fault = self._fault("run", self._proposed[ticket])
        if fault is Fault.CLAIMS_TO_BE_FAST:
            return replace(super().run(ticket, incumbent_secs, policy), samples=(1e-9,))
        self._fail("run", self._proposed[ticket])
        return super().run(ticket, incumbent_secs, policy)

    def _finalist(self, key: str, configuration: Configuration) -> Kernel | str:
        kernel = super()._finalist(key, configuration)
        claims = self._fault("judge", configuration) is Fault.CLAIMS_TO_BE_FAST
        if claims and isinstance(kernel, Kernel):
            kernel.timer = partial(_slower, kernel.timer)  # type: ignore[method-assign]
        return kernel

    def _outputs(
        self, key: str, configuration: Configuration, kernel: Any, inputs: list[Any]
    ) -> list[Any]:
        fault = self._fault("judge", configuration)
        outputs = super()._outputs(key, configuration, kernel, inputs)
        if fault is Fault.WRONG_OUTPUT:
            right = outputs[-1].numpy()
            outputs[-1].copyfrom(right + np.abs(right).max() / 10)
        elif fault in _FAULTS:
            _FAULTS[fault]()
        return outputs

    def _fault(self, stage: str, configuration: Configuration) -> Fault | None:
        applying = (rule.fault for rule in self._rules if rule.applies(stage, configuration))
        return next(applying, None)

    def _fail(self, stage: str, configuration: Configuration) -> None:
        fault = self._fault(stage, configuration)
        if fault is not None:
            _FAULTS[fault]()


# -- the faults


def _segfault() -> None:
    ctypes.string_at(0)


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit() -> None:
    os._exit(3)


def _hang() -> None:
    while True:
        time.sleep(60)


def _raise() -> None:
    raise RuntimeError("injected fault")


def _system_exit() -> None:
    raise SystemExit(3)


def _arrays() -> None:
    held: list[object] = []
    while _below_limit(len(held)):
        held.append(np.empty(_CHUNK_BYTES, np.uint8))


def _slower(honest: Callable[..., Timer], *arguments: Any) -> Timer:
    timer = honest(*arguments)
    return lambda runs: timer(runs) + 1.0


def _native_memory() -> None:
    new = ctypes.CDLL("libstdc++.so.6")._Znwm  # operator new, whose exception nobody catches
    new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
    taken = 0
    while _below_limit(taken):
        new(_CHUNK_BYTES)
        taken += 1


def _below_limit(chunks: int) -> bool:
    """Whether so many chunks cannot have been taken yet, or the limit does not hold."""
    if chunks * _CHUNK_BYTES <= resource.getrlimit(resource.RLIMIT_DATA)[0]:
        return True
    raise AssertionError("the memory limit does not hold")


_FAULTS: dict[Fault, Callable[[], None]] = {
    Fault.SEGFAULT: _segfault,
    Fault.KILLED: _killed,
    Fault.EXIT: _exit,
    Fault.HANG: _hang,
    Fault.RAISE: _raise,
    Fault.SYSTEM_EXIT: _system_exit,
    Fault.ARRAYS: _arrays,
    Fault.NATIVE_MEMORY: _native_memory,
}
