from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

from chameleon_tuner.app.progress import Progress
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.search.schedule import Budget, GradientScheduler
from chameleon_tuner.space import Choice, DesignSpace, Sketch
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.clock import Stopwatch


class FakeClock(Stopwatch):
    """Stands still until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.now_secs = 0.0

    def total(self) -> float:
        return self.now_secs


@dataclass
class MadeRun:
    """Drives a `Progress` like a run of `tasks` tasks and 64 trials does."""

    tasks: list[Task]
    scheduler: GradientScheduler
    clock: FakeClock

    def begin(self, progress: Progress, recorded: int = 0) -> None:
        progress.begin("net", self.tasks, self.scheduler, recorded)

    def batch(self, progress: Progress, number: int, best_secs: float, failed: int = 0) -> None:
        """Sixteen trials of a task, ten seconds later."""
        self.clock.now_secs += 10
        task = self.tasks[number]
        self.scheduler.observe(task, 16, best_secs, exhausted=False)
        search: Any = SimpleNamespace(history=SimpleNamespace(best_secs=best_secs))
        progress.batch_done(task, made_outcomes(failed), search)


def made_outcomes(failed: int) -> list[Outcome]:
    nothing = Configuration(0, (0,))
    statuses = [Status.REJECTED] * failed + [Status.OK] * (15 - failed) + [Status.CENSORED]
    return [Outcome(nothing, nothing, f"{n}", s, (1e-3,)) for n, s in enumerate(statuses)]


@pytest.fixture
def made_run() -> Callable[[int], MadeRun]:
    def make(count: int) -> MadeRun:
        space = DesignSpace((Sketch((Choice((1, 2)),)),))
        tasks = [
            Task(f"task{n}", f"key{n}", "", {}, space, weight=1 + n % 2, flops=1e6 * (count - n))
            for n in range(count)
        ]
        return MadeRun(tasks, GradientScheduler(tasks, Budget(64), 16), FakeClock())

    return make


VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Collects tags, text, and what tags refer to; every tag must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href"}]
        self.ids += [v or "" for k, v in attrs if k == "id"]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture
def read() -> Callable[[str], Reader]:
    """Read a page of HTML, all of whose tags are closed."""
    return checked
