"""The timing of a tuned library beside other runtimes, each in its own process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

from chameleon_tuner.bench.versus.results import Broken, Duel, Missing, timed
from chameleon_tuner.bench.versus.runners import (
    Facts,
    OpenFolder,
    OpenModel,
    Outputs,
    Runner,
    RunsModel,
    TimeCalls,
)
from chameleon_tuner.bench.versus.runtimes import INSTALL, OURS, Runtime
from chameleon_tuner.core.agreement import difference
from chameleon_tuner.core.errors import LibraryError
from chameleon_tuner.measure.local.lock import MachineLock
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.local.worker import WorkerLimits
from chameleon_tuner.ports.handler import Failed, Request
from chameleon_tuner.system.files import MANIFEST, require_file
from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores
from chameleon_tuner.system.neighbours import busy

H = TypeVar("H", covariant=True)
HandlerT = TypeVar("HandlerT")
R = TypeVar("R")
T = TypeVar("T")

_WARM_SECS = 0.5
"""Warm-up time of each runtime before the rounds."""

_PAUSE_SECS = 0.25
"""Pause before every turn, because the threads of the previous runtime still spin.

Those of onnxruntime spin for about 50 ms, those of OpenMP with its usual block time for 200 ms."""

_TIMEOUT_SECS = 1800.0
"""Timeout of a request; the first call of `torch.compile` builds dozens of C++ files."""

# Other runtimes may use as much memory as they need, so the limits are not restrictive.
_LIMITS = WorkerLimits(memory_bytes=64 * 2**30, recycle_bytes=64 * 2**30)

_MOST_CHARACTERS = 200
"""Maximum length of a reason, because some libraries print a whole graph on one line."""

_ADVICE = "Set TORCHDYNAMO_VERBOSE"
"""Beginning of the last line of PyTorch's errors, which says nothing about the cause."""


@dataclass(frozen=True)
class DuelOptions:
    """The options of a comparison with other runtimes.

    Attributes:
        rounds: Number of rounds; every runtime has one turn per round.
        round_secs: Minimum seconds per turn, which has at least one call.
        seed: Seed of the random inputs.
        inputs: Arrays by name of the input, in place of random ones.
        busy: Number of other processes that compute while the runtimes are timed.
    """

    rounds: int = 15
    round_secs: float = 0.3
    seed: int = 0
    inputs: Mapping[str, Any] | None = None
    busy: int = 0


@dataclass(frozen=True)
class RuntimeProcess(Generic[H]):
    """A runtime and its process.

    Attributes:
        runtime: The runtime.
        pool: Pool whose only worker is the process of the runtime.
    """

    runtime: Runtime[H]
    pool: WorkerPool[H]

    @property
    def name(self) -> str:
        """The name of the runtime."""
        return self.runtime.name

    def ask(self, request: Request[H, R]) -> R:
        """Send a request to the process, and return the answer.

        Raises:
            Failed: The request failed; if that is fatal, the process has died.
            MeasurementError: The process from which workers are forked is gone.
        """
        return self.pool.call(self.pool.workers[0], request, _TIMEOUT_SECS)


class _Match:
    """The runtimes that take part.

    A runtime that fails is removed; a failure of our library ends the comparison.

    Args:
        processes: Exit stack that closes the processes at the end.
        folder: Output folder of `chameleon tune`.
        options: The options of the comparison.

    Attributes:
        facts: Facts about our library.
        errors: Relative differences of the outputs, by name of the runtimes that could run the
            model; None for ours.
        failed: Removed runtimes, with the reason.
    """

    def __init__(self, processes: contextlib.ExitStack, folder: Path, options: DuelOptions) -> None:
        self._processes, self._folder = processes, folder
        self._ours = self._start(OURS, usable_cores())
        self._seated: list[RuntimeProcess[RunsModel]] = [self._ours]
        self.errors: dict[str, float | None] = {OURS.name: None}
        self.failed: list[Broken] = []
        try:
            self.facts: Facts = self._ours.ask(OpenFolder(str(folder), options.seed))
            if options.inputs is not None:
                self.facts = replace(self.facts, inputs=options.inputs)
            self._expected = self._ours.ask(Outputs(self.facts.inputs))
        except Failed as failure:
            raise self._over(failure) from None

    def admit(self, runtime: Runtime[Runner], model: Path) -> None:
        """Open the model in another runtime, and compare the outputs with ours."""
        opened = self._start(runtime, self.facts.threads)
        self._seated.append(opened)
        shapes = {name: array.shape for name, array in self.facts.inputs.items()}
        try:
            opened.ask(OpenModel(str(model), self.facts.threads, shapes))
            theirs = opened.ask(Outputs(self.facts.inputs))
        except Failed as failure:
            self._out(opened, failure)
        else:
            self.errors[runtime.name] = difference(self._expected, theirs)

    def samples(self, options: DuelOptions) -> dict[str, list[float]]:
        """Time all runtimes, and return the seconds per call in every round, by name.

        Runtimes that fail in a round are left out.
        """
        for process in list(self._seated):
            self._turn(process, _WARM_SECS)
        samples: dict[str, list[float]] = {process.name: [] for process in self._seated}
        for number in range(options.rounds):
            for process in in_turn(self._seated, number):
                secs = self._turn(process, options.round_secs)
                if secs is not None:
                    samples[process.name].append(secs)
        return {process.name: samples[process.name] for process in self._seated}

    def _start(self, runtime: Runtime[HandlerT], threads: int) -> RuntimeProcess[HandlerT]:
        """Start the process of a runtime."""
        environment = {**thread_environment(threads), "OMP_NUM_THREADS": str(threads)}
        started = WorkerPool(runtime.handler, 1, environment, _LIMITS)
        pool = self._processes.enter_context(started)
        pool.replenish()
        return RuntimeProcess(runtime, pool)

    def _turn(self, process: RuntimeProcess[RunsModel], secs: float) -> float | None:
        """Return the seconds per call of one turn, or None if the runtime failed."""
        time.sleep(_PAUSE_SECS)
        try:
            return process.ask(TimeCalls(secs))
        except Failed as failure:
            self._out(process, failure)
            return None

    def _out(self, process: RuntimeProcess[RunsModel], failure: Failed) -> None:
        """Remove a runtime that failed; raise a `LibraryError` if it is ours."""
        if process is self._ours:
            raise self._over(failure) from None
        process.pool.close()  # frees its memory for the other runtimes
        self._seated.remove(process)
        self.failed.append(Broken(process.name, reason(failure)))

    def _over(self, failure: Failed) -> LibraryError:
        """Return the error that ends the comparison because our library failed."""
        said = reason(failure)
        message = said.removeprefix(f"{LibraryError.__name__}: ")
        if message != said:
            return LibraryError(message)
        return LibraryError(f"the library in {self._folder} does not run: {said}")


def duel(
    model: Path,
    folder: Path,
    runtimes: Sequence[Runtime[Runner]],
    options: DuelOptions,
    say: Callable[[str], None],
) -> Duel:
    """Time a tuned model beside other runtimes.

    Args:
        model: Path of the ONNX file that was tuned.
        folder: Output folder of `chameleon tune`.
        runtimes: The other runtimes; those that are not installed are reported as missing.
        options: Number and length of rounds, and seed of the inputs.
        say: Receives progress messages.

    Returns:
        Latencies and output differences of the runtimes, and those that are missing or failed.

    Raises:
        ModelError: The model file does not exist.
        LibraryError: The folder holds no tuned library, or the library does not run here.
        MeasurementError: The processes cannot be started any more.
    """
    require_file(model)
    if not (folder / MANIFEST).is_file():
        raise LibraryError(f"{folder} holds no tuned library; make one with `chameleon tune`")
    lock = MachineLock()
    with contextlib.ExitStack() as processes:
        with lock.building():
            match = _Match(processes, folder, options)
            for runtime in runtimes:
                if runtime.installed():
                    say(f"opening {runtime.name}")
                    match.admit(runtime, model)
        say(f"timing {options.rounds} rounds")
        with lock.running(), busy(options.busy):
            samples = match.samples(options)
    return Duel(
        model=match.facts.model,
        machine=cpu_name(),
        threads=match.facts.threads,
        runtimes=[
            timed(r.name, version(r), samples[r.name], match.errors[r.name], samples[OURS.name])
            for r in (OURS, *runtimes)
            if r.name in samples
        ],
        missing=[Missing(r.name, INSTALL) for r in runtimes if not r.installed()],
        failed=match.failed,
        rounds=options.rounds,
        round_secs=options.round_secs,
        busy=options.busy,
    )


def in_turn(contestants: Sequence[T], number: int) -> list[T]:
    """Return the order of a round: it is reversed in every second round.

    So no runtime always runs after the same other runtime.
    """
    return list(reversed(contestants)) if number % 2 else list(contestants)


def reason(failure: Failed) -> str:
    """Summarise a failure on one line: its last informative line, and how the process ended.

    Lines of carets, with which compilers underline code, are skipped.
    """
    lines = [line.strip() for line in str(failure).splitlines()]
    telling = [line for line in lines if line.strip("^~| ") and not line.startswith(_ADVICE)]
    how = failure.status.value.replace("_", " ")
    if not telling:
        return how
    said = telling[-1][:_MOST_CHARACTERS]
    return f"{how}: {said}" if failure.fatal else said


def version(runtime: Runtime[object]) -> str:
    """Return the installed version; `unknown` if another package provides the runtime."""
    try:
        return metadata.version(runtime.distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
