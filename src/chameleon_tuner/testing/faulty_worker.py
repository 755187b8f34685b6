"""A worker that fails on purpose, for fault injection into measurers with real processes.

Pass `HANDLER` as the handler of a pool, and `environment(...)` as its environment variables:

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

from chameleon_tuner.backends.tvm.lower.kernel import Kernel
from chameleon_tuner.backends.tvm.run.candidates import Candidates, NeutralTimer
from chameleon_tuner.backends.tvm.run.finals import CompiledFinalists, FinalistKernels, Finals
from chameleon_tuner.backends.tvm.run.models import Models
from chameleon_tuner.backends.tvm.run.workbench import Timer, Workbench
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import (
    CandidateHandler,
    FinalHandler,
    Handler,
    ModelHandler,
    NeutralHandler,
    Scheduled,
    TaskHandler,
)
from chameleon_tuner.ports.measurer import Timing, TimingPolicy

HANDLER = HandlerEntry[Handler]("chameleon_tuner.testing.faulty_worker", "FaultyHandler")
"""Where worker processes find `FaultyHandler`."""

VARIABLE = "CHAMELEON_FAULTS"
"""The name of the environment variable that contains the rules as JSON."""

_CHUNK_BYTES = 64 * 2**20


class Fault(str, enum.Enum):
    """A fault of a candidate in its worker."""

    SEGFAULT = "segfault"
    KILLED = "killed"
    """The process is killed by SIGKILL, as when the machine runs out of memory."""
    EXIT = "exit"
    HANG = "hang"
    RAISE = "raise"
    SYSTEM_EXIT = "system_exit"
    ARRAYS = "arrays"
    """The candidate allocates memory up to the limit, until Python raises a MemoryError."""
    NATIVE_MEMORY = "native_memory"
    """The candidate allocates memory up to the limit in C++, which then aborts the process."""
    WRONG_OUTPUT = "wrong_output"
    """The candidate computes a wrong output. It exists only at the stage `judge`."""
    CLAIMS_TO_BE_FAST = "claims_to_be_fast"
    """The stage `run` reports 1 ns, and the stage `judge` measures 1 s more than the real time."""


@dataclass(frozen=True)
class Rule:
    """A rule for which candidates have a fault, and at which stage.

    Attributes:
        fault: The fault.
        stage: Request in which it happens: replay, compile, run or judge.
        configuration: The only configuration that has the fault; None for any.
        one_in: One in this many configurations has the fault, always the same ones.
    """

    fault: Fault
    stage: str
    configuration: Configuration | None = None
    one_in: int = 1

    def applies(self, stage: str, configuration: Configuration) -> bool:
        """Return whether a proposed configuration has the fault at this stage."""
        if self.configuration is not None and self.configuration != configuration:
            return False
        text = json.dumps([self.fault.value, configuration.to_json()])
        return stage == self.stage and zlib.crc32(text.encode()) % self.one_in == 0


def environment(*rules: Rule) -> dict[str, str]:
    """Return the environment variable that makes `FaultyHandler` follow the rules."""
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


class _Rules:
    """The rules in the environment of this process."""

    def __init__(self) -> None:
        self._rules = _rules()

    def fault(self, stage: str, configuration: Configuration) -> Fault | None:
        """Return the fault that a configuration has at a stage; None without one."""
        applying = (rule.fault for rule in self._rules if rule.applies(stage, configuration))
        return next(applying, None)

    def fail(self, stage: str, configuration: Configuration) -> None:
        """Cause the fault that a configuration has at a stage."""
        fault = self.fault(stage, configuration)
        if fault is not None:
            _FAULTS[fault]()


class FaultyCandidates:
    """Candidates that fail as the rules say; implements `ports.handler.CandidateHandler`.

    Args:
        candidates: Builds and runs them otherwise.
        rules: The rules.
    """

    def __init__(self, candidates: CandidateHandler, rules: _Rules) -> None:
        self._candidates, self._rules = candidates, rules
        self._proposed: dict[int, Configuration] = {}

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        """See `CandidateHandler.replay`."""
        self._rules.fail("replay", configuration)
        scheduled = self._candidates.replay(key, configuration)
        self._proposed[scheduled.ticket] = configuration
        return scheduled

    def compile(self, ticket: int) -> None:
        """See `CandidateHandler.compile`."""
        self._rules.fail("compile", self._proposed[ticket])
        self._candidates.compile(ticket)

    def forget(self, ticket: int) -> None:
        """See `CandidateHandler.forget`."""
        self._candidates.forget(ticket)

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        """See `CandidateHandler.run`."""
        proposed = self._proposed[ticket]
        if self._rules.fault("run", proposed) is Fault.CLAIMS_TO_BE_FAST:
            timing = self._candidates.run(ticket, incumbent_secs, policy)
            return replace(timing, samples=(1e-9,))
        self._rules.fail("run", proposed)
        return self._candidates.run(ticket, incumbent_secs, policy)


class FaultyFinalists:
    """Finalists that fail as the rules say; implements `FinalistKernels` of the TVM backend.

    Args:
        kernels: Builds and runs them otherwise.
        rules: The rules.
    """

    def __init__(self, kernels: FinalistKernels, rules: _Rules) -> None:
        self._kernels, self._rules = kernels, rules

    def build(self, key: str, configuration: Configuration) -> Kernel:
        """See `FinalistKernels.build`."""
        kernel = self._kernels.build(key, configuration)
        if self._rules.fault("judge", configuration) is Fault.CLAIMS_TO_BE_FAST:
            kernel.timer = partial(_slower, kernel.timer)  # type: ignore[method-assign]
        return kernel

    def outputs(
        self, key: str, configuration: Configuration, kernel: Kernel, inputs: list[Any]
    ) -> list[Any]:
        """See `FinalistKernels.outputs`."""
        fault = self._rules.fault("judge", configuration)
        outputs = self._kernels.outputs(key, configuration, kernel, inputs)
        if fault is Fault.WRONG_OUTPUT:
            right = outputs[-1].numpy()
            outputs[-1].copyfrom(right + np.abs(right).max() / 10)
        elif fault in _FAULTS:
            _FAULTS[fault]()
        return outputs


class FaultyHandler:
    """The TVM backend's handler with candidates and finalists that fail as the rules say."""

    tasks: TaskHandler
    candidates: CandidateHandler
    finals: FinalHandler
    neutral: NeutralHandler
    models: ModelHandler

    def __init__(self) -> None:
        bench, rules = Workbench(), _Rules()
        self.tasks = bench
        self.candidates = FaultyCandidates(Candidates(bench), rules)
        self.finals = Finals(bench, FaultyFinalists(CompiledFinalists(bench), rules))
        self.neutral = NeutralTimer(bench)
        self.models = Models()


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
    new = ctypes.CDLL("libstdc++.so.6")._Znwm  # operator new; its exception is not caught
    new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
    taken = 0
    while _below_limit(taken):
        new(_CHUNK_BYTES)
        taken += 1


def _below_limit(chunks: int) -> bool:
    """Return True if this many allocated chunks are below the memory limit of the process.

    Raises:
        AssertionError: If they exceed the limit, so that it is not enforced.
    """
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
