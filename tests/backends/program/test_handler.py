"""The handler keeps the contracts of the ports, and tells how a candidate failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chameleon_tuner.backends.program.handler import (
    HANDLER,
    DefaultTimes,
    Install,
    MakeReference,
    ProgramHandler,
)
from chameleon_tuner.backends.program.learned import Places
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.reading import read_spec
from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import (
    Compile,
    Contend,
    Failed,
    JudgeFinal,
    LoadTask,
    Ready,
    Replay,
    Run,
)
from chameleon_tuner.ports.measurer import TimingPolicy
from chameleon_tuner.space import configuration_at
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task
from chameleon_tuner.testing.contracts.handler import (
    CandidateHandlerContract,
    FinalHandlerContract,
    TaskHandlerContract,
)

ONE_RUN = TimingPolicy(sample_secs=1e-9, min_samples=1, max_samples=1)

Toy = Callable[..., Path]


def task_of(path: Path, **places: Any) -> Task:
    project = ProgramProject(read_spec(path))
    scratch = str(path.parent / "scratch")
    return project.task(Places(str(path.parent), scratch, **{"run_secs": 20.0, **places}))


def chosen(task: Task, **values: Any) -> Configuration:
    return configuration_at(task.space, {"zeta": 0, "alpha": 0, "mode": "right", **values})


class TestProgramHandler(TaskHandlerContract, CandidateHandlerContract, FinalHandlerContract):
    @pytest.fixture
    def entry(self) -> HandlerEntry[ProgramHandler]:  # type: ignore[override]
        return HANDLER

    @pytest.fixture
    def task(self, toy: Toy) -> Task:
        return task_of(toy())

    @pytest.fixture
    def legal(self, task: Task) -> list[Configuration]:
        return [chosen(task, zeta=zeta) for zeta in (0, 1, 3)]

    @pytest.fixture
    def refused(self) -> list[Configuration]:
        return [Configuration(0, (99, 0, 0))]

    @pytest.fixture
    def unbuildable(self, task: Task) -> list[Configuration]:
        return [chosen(task, mode="broken")]


def test_configurations_with_the_same_commands_are_the_same(toy: Toy) -> None:
    task = task_of(
        toy(
            'run = "echo {a} {b}"\n[parameters]\na = ["x y", "x"]\nb = ["z", "y z"]\n'
            '[check]\noutput = "none"\n'
        )
    )
    handler = learned(task)
    hashes = [
        handler.candidates.replay(task.key, Configuration(0, indices)).structural_hash
        for indices in ((0, 0), (1, 1), (0, 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


# -- how candidates fail


def learned(task: Task) -> ProgramHandler:
    handler = HANDLER.load()
    LoadTask(task.key, task.module, dict(task.target), to_plain(task.space)).answered_by(handler)
    return handler


@pytest.fixture
def handlers(toy: Toy) -> Iterator[tuple[ProgramHandler, Task]]:
    """A handler of the toy with a reference."""
    text = toy().read_text().replace('"broken"]', '"broken", "hang", "memory", "quiet"]')
    path = toy(text)
    reference = path.parent / "reference"
    task = task_of(path)
    handler = learned(task)
    MakeReference(task.key, str(reference)).answered_by(handler)
    task = task_of(path, reference=str(reference), run_secs=3.0)
    yield learned(task), task
    assert not any((path.parent / "scratch").iterdir())  # nothing is left of any candidate


def ended(handler: ProgramHandler, task: Task, **values: Any) -> Failed:
    with pytest.raises(Failed) as caught:
        measured(handler, task, chosen(task, **values))
    return caught.value


def measured(handler: ProgramHandler, task: Task, configuration: Configuration) -> None:
    ticket = Replay(task.key, configuration).answered_by(handler).ticket
    Compile(ticket).answered_by(handler)
    Run(ticket, math.inf, ONE_RUN).answered_by(handler)


@pytest.mark.parametrize(
    ("mode", "status", "says"),
    [
        ("broken", Status.BUILD_ERROR, "compile: exit 1: program.c:3: error: expected ';'"),
        ("crash", Status.CRASHED, "run: SIGSEGV"),
        ("exit", Status.RUN_ERROR, "run: exit 1: error: no such mode"),
        ("hang", Status.TIMEOUT, "run took longer than its limit of 3 s"),
        ("memory", Status.OUT_OF_MEMORY, "run: exit 1: MemoryError"),
        ("wrong", Status.WRONG_OUTPUT, "wrong output: line 1 is 'sum 41', and in the reference"),
        ("quiet", Status.RUN_ERROR, "nothing in stdout matches time.pattern"),
    ],
)
def test_how_a_candidate_fails(
    handlers: tuple[ProgramHandler, Task], mode: str, status: Status, says: str
) -> None:
    failure = ended(*handlers, mode=mode)
    assert failure.status is status
    assert says in str(failure)
    assert not failure.fatal


@pytest.mark.parametrize(("budget_secs", "samples"), [(1e-3, 1), (600.0, 5)])
def test_the_budget_of_a_timing_is_one_of_the_wall_clock(
    toy: Toy, budget_secs: float, samples: int
) -> None:
    task = task_of(toy())
    handler = learned(task)
    ticket = Replay(task.key, chosen(task)).answered_by(handler).ticket
    Compile(ticket).answered_by(handler)
    policy = TimingPolicy(sample_secs=1e-9, min_samples=5, max_samples=5, budget_secs=budget_secs)
    timing = Run(ticket, math.inf, policy).answered_by(handler)
    assert timing.samples == (0.014,) * samples
    runs = (Path(task.target["folder"]) / "runs.txt").read_text().splitlines()
    assert len(runs) == 1 + samples  # the first one is not counted


def test_the_output_is_checked_in_the_final_too(handlers: tuple[ProgramHandler, Task]) -> None:
    handler, task = handlers
    finalists = [(task.key, chosen(task, zeta=3, mode=mode)) for mode in ("wrong", "right")]
    Ready(task.key, finalists).answered_by(handler)
    Contend(2, 0.0, 0).answered_by(handler)
    default, wrong, right = JudgeFinal(0.0).answered_by(handler)
    assert "wrong output" in wrong.message
    assert not wrong.samples
    assert len(default.samples) == len(right.samples) == 2
    assert right.error == default.error == 0.0


def test_what_is_installed_stays_and_works(handlers: tuple[ProgramHandler, Task]) -> None:
    handler, task = handlers
    folder = Path(task.target["folder"]) / "best"
    for configuration in (chosen(task, zeta=3), None):
        Install(task.key, configuration, str(folder)).answered_by(handler)
        assert [path.name for path in folder.iterdir()] == ["program"]
    with pytest.raises(Failed):
        Install(task.key, chosen(task, mode="wrong"), str(folder)).answered_by(handler)


# -- the reference


def reference_of(path: Path) -> tuple[DefaultTimes, bytes]:
    task = task_of(path)
    place = path.parent / "reference"
    times = MakeReference(task.key, str(place)).answered_by(learned(task))
    return times, place.read_bytes()


def test_the_reference_is_the_output_without_the_time(toy: Toy) -> None:
    times, content = reference_of(toy())
    assert content == b"sum 42\n\n"
    assert times.secs == (0.014, 0.014)
    assert times.build_secs > 0


def of_shell(script: str, rest: str = "") -> str:
    return f"run = '''sh -c \"{script}\" {{a}}'''\n[parameters]\na = [1, 2]\n{rest}"


@pytest.mark.parametrize(
    ("script", "rest", "says"),
    [
        ("date +%N", "", "its output is another one in a second run: line 1"),
        ("true", "", "prints nothing that could be checked"),
        ("exit 3", "", "run: exit 3"),
        ("echo 3", '[check]\nreference = "right"', "is not that of right: line 1 is '3'"),
        ("true", '[check]\noutput = "{build}/out"', "no output: out: No such file"),
        ("echo 4", '[check]\ncommand = "false"', "check: exit 1"),
    ],
)
def test_a_default_that_is_no_reference(toy: Toy, script: str, rest: str, says: str) -> None:
    path = toy(of_shell(script, rest))
    (path.parent / "right").write_text("4\n")
    with pytest.raises(Failed, match=says):
        reference_of(path)


@pytest.mark.parametrize(
    ("script", "rest", "content"),
    [
        ("echo 4; date >&2", '[check]\nreference = "right"', b"4\n"),
        ("date +%N", '[check]\noutput = "none"', b""),
        ("date; echo 5 >&2", '[check]\noutput = "stderr"', b"5\n"),
        ("date +%N", '[check]\nignore = ["[0-9]+"]', None),
        ("date", '[check]\ncommand = "echo 6"', b"6\n"),
    ],
)
def test_what_can_be_the_reference(toy: Toy, script: str, rest: str, content: bytes | None) -> None:
    path = toy(of_shell(script, rest))
    (path.parent / "right").write_text("4\n")
    found = reference_of(path)[1]
    assert content is None or found == content


def test_a_file_in_the_folder_of_the_candidate(toy: Toy) -> None:
    path = toy(
        "run = '''sh -c \"echo 7 > $0/out; echo 2.5 > $0/time\" {build} {a}'''\n"
        "[parameters]\na = [1, 2]\n"
        "[time]\npattern = '([0-9.]+)'\nof = \"{build}/time\"\n"
        '[check]\noutput = "{build}/out"\n'
    )
    times, content = reference_of(path)
    assert content == b"7\n"
    assert times.secs == (2.5, 2.5)


def test_a_stale_file_does_not_stand_for_one_that_was_not_written(toy: Toy) -> None:
    script = "test -e $0/mark || echo 7 > $0/out; touch $0/mark"
    path = toy(
        f"run = '''sh -c \"{script}\" {{build}} {{a}}'''\n[parameters]\na = [1, 2]\n"
        '[check]\noutput = "{build}/out"\n'
    )
    with pytest.raises(Failed, match="no output: out"):
        reference_of(path)


def test_a_task_is_learned_with_its_places(toy: Toy) -> None:
    places = Places("/a", "/b", "/c", 3.0)
    assert Places.of(places.target()) == places
    task = task_of(toy())
    assert replace(task, target=places.target()).target["kind"] == "program"
