"""The rounds: our library and other runtimes, each in a process of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from chameleon_tuner.errors import LibraryError
from chameleon_tuner.machine import cpu_name, thread_environment, usable_cores
from chameleon_tuner.measure.lock import MachineLock
from chameleon_tuner.measure.pool import Failed, Limits, Request, WorkerPool
from chameleon_tuner.model_file import require_file
from chameleon_tuner.versus.results import Broken, Duel, Missing, difference, timed
from chameleon_tuner.versus.runners import Facts
from chameleon_tuner.versus.runtimes import INSTALL, OURS, Runtime

T = TypeVar("T")

_MANIFEST = "manifest.json"  # its home, `chameleon_tuner.tvm.deploy`, imports TVM

_WARM_SECS = 0.5
"""For so long each runs before the rounds."""

_PAUSE_SECS = 0.25
"""Before every turn: the threads of the runtime before still spin, those of onnxruntime for about
50 ms, those of an OpenMP with its usual block time for 200 ms."""

_TIMEOUT_SECS = 1800.0
"""Of a request; the first call of `torch.compile` builds dozens of C++ files."""

# As good as none: a runtime may take what it takes.
_LIMITS = Limits(memory_bytes=64 * 2**30, recycle_bytes=64 * 2**30)

_MOST_CHARACTERS = 200
"""Of a reason; some libraries print a graph on one line."""

_ADVICE = "Set TORCHDYNAMO_VERBOSE"
"""Begins the last line of PyTorch's errors, which says nothing about the error."""


@dataclass(frozen=True)
class Options:
    """How a tuned model is compared.

    Attributes:
        rounds: turns of every runtime.
        round_secs: of a turn, at least one call.
        seed: of the random inputs.
    """

    rounds: int = 15
    round_secs: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Contestant:
    """A runtime and its process."""

    runtime: Runtime
    pool: WorkerPool

    @property
    def name(self) -> str:
        """Of the runtime."""
        return self.runtime.name

    def ask(self, method: str, *arguments: Any) -> Any:
        """The answer to a request.

        Raises:
            Failed: it has none; where that is fatal nothing more can be asked.
            MeasurementError: the process that starts the runtime's is gone.
        """
        return self.pool.call(self.pool.workers[0], Request(method, arguments, _TIMEOUT_SECS))


class _Match:
    """Who takes part. A runtime that fails is out; if ours does, all is over.

    Attributes:
        facts: of our library.
        errors: of those that opened the model, by name; None for ours.
        failed: who is out, and why.
    """

    def __init__(self, processes: contextlib.ExitStack, folder: Path, seed: int) -> None:
        self._processes, self._folder = processes, folder
        self._ours = self._start(OURS, usable_cores())
        self._seated = [self._ours]
        self.errors: dict[str, float | None] = {OURS.name: None}
        self.failed: list[Broken] = []
        try:
            self.facts: Facts = self._ours.ask("open", str(folder), seed)
            self._expected = self._ours.ask("outputs", self.facts.inputs)
        except Failed as failure:
            raise self._over(failure) from None

    def admit(self, runtime: Runtime, model: Path) -> None:
        """Let a runtime open the model, and compare its outputs."""
        contestant = self._start(runtime, self.facts.threads)
        self._seated.append(contestant)
        shapes = {name: array.shape for name, array in self.facts.inputs.items()}
        try:
            contestant.ask("open", str(model), self.facts.threads, shapes)
            theirs = contestant.ask("outputs", self.facts.inputs)
        except Failed as failure:
            self._out(contestant, failure)
        else:
            self.errors[runtime.name] = difference(self._expected, theirs)

    def samples(self, options: Options) -> dict[str, list[float]]:
        """Seconds of one call in every round, by name, of those that lasted."""
        for contestant in list(self._seated):
            self._turn(contestant, _WARM_SECS)
        samples: dict[str, list[float]] = {contestant.name: [] for contestant in self._seated}
        for number in range(options.rounds):
            for contestant in in_turn(self._seated, number):
                secs = self._turn(contestant, options.round_secs)
                if secs is not None:
                    samples[contestant.name].append(secs)
        return {contestant.name: samples[contestant.name] for contestant in self._seated}

    def _start(self, runtime: Runtime, threads: int) -> Contestant:
        environment = {**thread_environment(threads), "OMP_NUM_THREADS": str(threads)}
        started = WorkerPool(runtime.handler, 1, environment, _LIMITS)
        pool = self._processes.enter_context(started)
        pool.replenish()
        return Contestant(runtime, pool)

    def _turn(self, contestant: Contestant, secs: float) -> float | None:
        """Seconds of one call; None from somebody who failed."""
        time.sleep(_PAUSE_SECS)
        try:
            return float(contestant.ask("time", secs))
        except Failed as failure:
            self._out(contestant, failure)
            return None

    def _out(self, contestant: Contestant, failure: Failed) -> None:
        if contestant is self._ours:
            raise self._over(failure) from None
        contestant.pool.close()  # what it holds would only take memory from the others
        self._seated.remove(contestant)
        self.failed.append(Broken(contestant.name, reason(failure)))

    def _over(self, failure: Failed) -> LibraryError:
        said = reason(failure)
        message = said.removeprefix(f"{LibraryError.__name__}: ")
        if message != said:
            return LibraryError(message)
        return LibraryError(f"the library in {self._folder} does not run: {said}")


def duel(
    model: Path,
    folder: Path,
    runtimes: Sequence[Runtime],
    options: Options,
    say: Callable[[str], None],
) -> Duel:
    """Time a tuned model beside other runtimes.

    Args:
        model: path of the ONNX file that was tuned.
        folder: from `chameleon tune`.
        runtimes: the others.
        options: rounds and inputs.
        say: told what is being done.

    Raises:
        ModelError: there is no model.
        LibraryError: the folder holds no tuned library, or one that does not run here.
        MeasurementError: the processes broke down.
    """
    require_file(model)
    if not (folder / _MANIFEST).is_file():
        raise LibraryError(f"{folder} holds no tuned library; make one with `chameleon tune`")
    lock = MachineLock()
    with contextlib.ExitStack() as processes:
        with lock.building():
            match = _Match(processes, folder, options.seed)
            for runtime in runtimes:
                if runtime.installed():
                    say(f"opening {runtime.name}")
                    match.admit(runtime, model)
        say(f"timing {options.rounds} rounds")
        with lock.running():
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
    )


def in_turn(contestants: Sequence[T], number: int) -> list[T]:
    """The order of a round: reversed every second time, so that nobody is always behind one."""
    return list(reversed(contestants)) if number % 2 else list(contestants)


def reason(failure: Failed) -> str:
    """A failure on one line: the last that says something, and how a process ended.

    Compilers end with a line of carets under what they quote.
    """
    lines = [line.strip() for line in str(failure).splitlines()]
    telling = [line for line in lines if line.strip("^~| ") and not line.startswith(_ADVICE)]
    how = failure.status.value.replace("_", " ")
    if not telling:
        return how
    said = telling[-1][:_MOST_CHARACTERS]
    return f"{how}: {said}" if failure.fatal else said


def version(runtime: Runtime) -> str:
    """Of what is installed; `unknown` where a package of another name brings it."""
    try:
        return metadata.version(runtime.distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
