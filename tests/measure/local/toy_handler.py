"""Handlers for the pool's tests, without TVM: a worker of these starts in milliseconds."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from chameleon_tuner.core.configuration import Configuration, DeployedKernel, ForeignTrace
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Failed, RejectedError, Request, Scheduled, Timed
from chameleon_tuner.ports.measurer import Timing, TimingPolicy
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.plain import from_plain, to_plain

# -- a handler of odd requests


class Toy:
    """What the requests below leave behind."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.remembered: object = None


TOY = HandlerEntry[Toy]("toy_handler", "Toy")


@dataclass(frozen=True)
class Pid(Request[Toy, int]):
    stage: ClassVar[str] = "pid"

    def answered_by(self, handler: Toy) -> int:
        return os.getpid()


@dataclass(frozen=True)
class Echo(Request[Toy, object]):
    value: object
    stage: ClassVar[str] = "echo"

    def answered_by(self, handler: Toy) -> object:
        return self.value


@dataclass(frozen=True)
class Variable(Request[Toy, "str | None"]):
    name: str
    stage: ClassVar[str] = "variable"

    def answered_by(self, handler: Toy) -> str | None:
        return os.environ.get(self.name)


@dataclass(frozen=True)
class Remember(Request[Toy, object]):
    """The value before."""

    value: object
    stage: ClassVar[str] = "remember"

    def answered_by(self, handler: Toy) -> object:
        before, handler.remembered = handler.remembered, self.value
        return before


@dataclass(frozen=True)
class Tell(Request[Toy, None]):
    """The failure of a candidate that ran in a process of its own."""

    status: Status
    stage: ClassVar[str] = "tell"

    def answered_by(self, handler: Toy) -> None:
        raise Failed(self.status, "as the handler says")


@dataclass(frozen=True)
class Sleep(Request[Toy, None]):
    secs: float
    stage: ClassVar[str] = "sleep"

    def answered_by(self, handler: Toy) -> None:
        time.sleep(self.secs)


@dataclass(frozen=True)
class Hang(Request[Toy, None]):
    stage: ClassVar[str] = "hang"

    def answered_by(self, handler: Toy) -> None:
        while True:
            time.sleep(60)


@dataclass(frozen=True)
class Say(Request[Toy, None]):
    text: str
    stage: ClassVar[str] = "say"

    def answered_by(self, handler: Toy) -> None:
        print(self.text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Die(Request[Toy, None]):
    status: int
    last_words: str = ""
    stage: ClassVar[str] = "die"

    def answered_by(self, handler: Toy) -> None:
        os.write(2, self.last_words.encode())
        os._exit(self.status)


@dataclass(frozen=True)
class Grow(Request[Toy, None]):
    size: int
    stage: ClassVar[str] = "grow"

    def answered_by(self, handler: Toy) -> None:
        handler.held.append(b"x" * self.size)


@dataclass(frozen=True)
class Fail(Request[Toy, None]):
    message: str
    stage: ClassVar[str] = "fail"

    def answered_by(self, handler: Toy) -> None:
        raise ValueError(self.message)


@dataclass(frozen=True)
class NoSuch(Request[Toy, object]):
    """Of another handler: this one has no such part."""

    stage: ClassVar[str] = "nosuch"

    def answered_by(self, handler: Any) -> object:
        return handler.nosuch


@dataclass(frozen=True)
class Unpicklable(Request[Toy, object]):
    stage: ClassVar[str] = "unpicklable"

    def answered_by(self, handler: Toy) -> object:
        return lambda: None


def unborn() -> Toy:
    raise ValueError("this handler cannot be made")


# -- a handler of candidates


SPACE = DesignSpace((Sketch((Choice(tuple(range(100))),)),))
"""The design space of all tasks."""


class Tasks:
    """Implements `ports.handler.TaskHandler`; some modules cannot be loaded, or have no space."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    def load_task(self, key: str, module: str, target: dict[str, Any], design: Any = None) -> None:
        log("load", key)
        assert design is None or from_plain(design).count
        if module == "broken":
            raise ValueError("no such module")
        self._keys.add(key)

    def derive_space(self, key: str, module: str, target: dict[str, Any]) -> Any:
        log("derive", key)
        if module == "spaceless":
            raise RejectedError("no space")
        if module == "scarce":
            raise MemoryError
        if module == "deadly":
            os._exit(7)
        while module == "endless":
            time.sleep(60)
        self.load_task(key, module, target)
        return to_plain(SPACE)

    def require(self, key: str) -> None:
        assert key in self._keys


class Candidates:
    """Implements `ports.handler.CandidateHandler`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._scheduled: dict[int, int] = {}
        self._built: dict[int, int] = {}
        self._tickets = itertools.count()

    def replay(self, key: str, configuration: Configuration) -> Scheduled:
        self._tasks.require(key)
        [index] = configuration.indices
        if index >= 90 or configuration.sketch > 0:
            raise RejectedError("refused by the toy")
        even = index - index % 2
        ticket = next(self._tickets)
        self._scheduled[ticket] = even
        return Scheduled(ticket, Configuration(configuration.sketch, (even,)), f"hash{even}")

    def forget(self, ticket: int) -> None:
        held = self._scheduled if ticket in self._scheduled else self._built
        del held[ticket]

    def compile(self, ticket: int) -> None:
        index = self._scheduled.pop(ticket)
        log("compile", index)
        log("lock", "compile", lock_state())
        if 70 <= index < 80:
            os._exit(7)
        if 60 <= index < 70:
            raise ValueError("does not compile")
        self._built[ticket] = index

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        index = self._built.pop(ticket)
        log("run", index, incumbent_secs)
        log("lock", "run", lock_state())
        if 80 <= index < 90:
            os._exit(8)
        return Timing((index * 1e-3,), index == 50, 0.001)


@dataclass
class Final:
    """The final that a worker holds, by the indices of the finalists."""

    indices: list[int]
    timed: list[Timed] = field(default_factory=list)


class Finals:
    """Implements `ports.handler.FinalHandler`.

    Index 70 crashes when it is built, 80 when it is timed; with 60 nothing can be judged. From 90
    on: a failure of the finalist alone. The untuned kernel takes 0.1 s. Outputs are right.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._final: Final | None = None

    def ready(self, key: str, finalists: Sequence[tuple[str, Configuration]]) -> None:
        self._final = None
        for task in (key, *(task for task, _ in finalists)):
            self._tasks.require(task)
        self._final = Final([index for _, one in finalists for index in one.indices])
        log("lock", "ready", lock_state())
        if 70 in self._final.indices:
            os._exit(7)

    def contend(self, rounds: int, round_secs: float, apart_bytes: int = 0) -> None:
        log("lock", "contend", lock_state())
        final = self._held()
        log("contend", rounds, round_secs, apart_bytes)
        if 80 in final.indices:
            os._exit(8)
        untuned = Timed((0.1,) * rounds, None)
        final.timed = [untuned, *(timed(index, rounds) for index in final.indices)]

    def judge(self, tolerance: float = -1.0) -> list[Timed]:
        log("lock", "judge", lock_state())
        final, self._final = self._held(), None
        log("judge", tolerance)
        if 60 in final.indices:
            raise ValueError("no verdict")
        untuned, *finalists = final.timed
        ran = [number for number, kernel in enumerate(finalists) if kernel.samples]
        ran.sort(key=lambda number: statistics.median(finalists[number].samples))
        for number in ran[:1] if tolerance >= 0 else ran:
            finalists[number] = replace(finalists[number], error=0.0)
        return [replace(untuned, error=0.0), *finalists]

    def _held(self) -> Final:
        if self._final is None:
            raise LookupError("no final was made ready")
        return self._final


class Neutral:
    """Implements `ports.handler.NeutralHandler`. Index 80 crashes, 70 hangs."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def time(
        self, key: str, kernels: Sequence[DeployedKernel], rounds: int, round_secs: float
    ) -> list[Timed]:
        self._tasks.require(key)
        indices = [index_of(kernel) for kernel in kernels]
        log("time", *indices)
        log("lock", "time", lock_state())
        if any(80 <= index < 90 for index in indices):
            os._exit(8)
        while 70 in indices:
            time.sleep(60)
        return [timed(index, rounds) for index in indices]


class Kernels:
    """Stands in for a backend's handler; what a candidate does follows from its only index.

    An odd index is read back as the even one below. From 90 on: refused; 80: crash when run;
    70: crash when compiled; 60: error when compiled. Others run in `index` milliseconds.
    """

    def __init__(self) -> None:
        self.tasks = Tasks()
        self.candidates = Candidates(self.tasks)
        self.finals = Finals(self.tasks)
        self.neutral = Neutral(self.tasks)


KERNELS = HandlerEntry[Kernels]("toy_handler", "Kernels")


def index_of(kernel: DeployedKernel) -> int:
    """The index of a configuration; that of something refused for any trace."""
    if isinstance(kernel, ForeignTrace):
        return 99
    configuration = kernel if isinstance(kernel, Configuration) else kernel.configuration
    return configuration.indices[0] if configuration.sketch == 0 else 99


def timed(index: int, rounds: int) -> Timed:
    if index >= 90:
        return Timed((), None, "RejectedError: refused by the toy")
    return Timed((index * 1e-3,) * rounds, None)


def log(*words: object) -> None:
    """Append a line to the file that the test reads."""
    with open(os.environ["TOY_LOG"], "a") as file:  # noqa: PTH123
        file.write(" ".join(map(str, words)) + "\n")


def lock_state() -> str:
    """How somebody else holds the machine's lock."""
    with open(os.environ["TOY_LOCK"]) as file:  # noqa: PTH123
        for how, state in ((fcntl.LOCK_EX, "free"), (fcntl.LOCK_SH, "shared")):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, how | fcntl.LOCK_NB)
                return state
    return "exclusive"
