"""Handlers for the pool's tests, without TVM: a worker of these starts in milliseconds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time

from chameleon_tuner.measure.outcome import RejectedError
from chameleon_tuner.measure.timing import Timing, TimingPolicy
from chameleon_tuner.space import Configuration
from chameleon_tuner.space.plain import from_plain


class Toy:
    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.remembered: object = None

    def pid(self) -> int:
        return os.getpid()

    def echo(self, value: object) -> object:
        return value

    def variable(self, name: str) -> str | None:
        return os.environ.get(name)

    def remember(self, value: object) -> object:
        before, self.remembered = self.remembered, value
        return before

    def sleep(self, secs: float) -> None:
        time.sleep(secs)

    def hang(self) -> None:
        while True:
            time.sleep(60)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def die(self, status: int, last_words: str = "") -> None:
        os.write(2, last_words.encode())
        os._exit(status)

    def grow(self, size: int) -> None:
        self.held.append(b"x" * size)

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def unpicklable(self) -> object:
        return lambda: None


def unborn() -> object:
    raise ValueError("this handler cannot be made")


class Kernels:
    """Stands in for `KernelWorker`; what a candidate does follows from its only index.

    An odd index is read back as the even one below. From 90 on: refused; 80: crash when run;
    70: crash when compiled; 60: error when compiled. Others run in `index` milliseconds.
    """

    def __init__(self) -> None:
        self.tasks: set[str] = set()
        self.modules: dict[int, int] = {}

    def load_task(self, key: str, module: str, target: dict[str, object], design: object) -> None:
        log("load", key)
        assert from_plain(design).count
        if module == "broken":
            raise ValueError("no such module")
        self.tasks.add(key)

    def replay(self, key: str, configuration: Configuration) -> tuple[int, Configuration, str]:
        assert key in self.tasks
        [index] = configuration.indices
        if index >= 90:
            raise RejectedError("refused by the toy")
        even = index - index % 2
        ticket = len(self.modules)
        self.modules[ticket] = even
        return ticket, Configuration(configuration.sketch, (even,)), f"hash{even}"

    def forget(self, ticket: int) -> None:
        del self.modules[ticket]
        self.modules[-ticket - 1] = -1

    def compile(self, ticket: int) -> None:
        log("compile", self.modules[ticket])
        log("lock", "compile", lock_state())
        if 70 <= self.modules[ticket] < 80:
            os._exit(7)
        if 60 <= self.modules[ticket] < 70:
            raise ValueError("does not compile")

    def run(self, ticket: int, incumbent_secs: float, policy: TimingPolicy) -> Timing:
        index = self.modules.pop(ticket)
        self.modules[-ticket - 1] = -1
        log("run", index, incumbent_secs)
        log("lock", "run", lock_state())
        if 80 <= index < 90:
            os._exit(8)
        return Timing((index * 1e-3,), index == 50, 0.001)

    def time(
        self, key: str, configurations: list[Configuration], rounds: int, round_secs: float
    ) -> list[Timing]:
        assert key in self.tasks
        indices = [index for configuration in configurations for index in configuration.indices]
        log("time", *indices)
        log("lock", "time", lock_state())
        if any(80 <= index < 90 for index in indices):
            os._exit(8)
        while 70 in indices:
            time.sleep(60)
        return [Timing((index * 1e-3,) * rounds, False, round_secs) for index in indices]

    def ready(self, key: str, finalists: list[tuple[str, Configuration]]) -> None:
        assert key in self.tasks
        self.final: list[float] = [index for _, one in finalists for index in one.indices]
        log("lock", "ready", lock_state())
        if 70 in self.final:
            os._exit(7)

    def contend(self, rounds: int, round_secs: float, apart_bytes: int) -> None:
        log("lock", "contend", lock_state())
        if 80 in self.final:
            os._exit(8)
        self.final.append(rounds)

    def judge(self, tolerance: float) -> list[float]:
        log("lock", "judge", lock_state())
        if 60 in self.final:
            raise ValueError("no verdict")
        return [*self.final, tolerance]


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
