# ruff: noqa: D102 - the name of a test says what it checks
"""The contract of backends; inherit it to test a backend.

class TestMine(BackendContract):
    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend[Any]:
        return MyBackend()

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Any: ...  # a small model

    @pytest.fixture(scope="class")
    @classmethod
    def broken_model(cls) -> Any: ...  # a model that cannot be read

    @pytest.fixture(scope="class")
    @classmethod
    def other_model(cls) -> Any: ...  # the small model with another weight

    def run_deployed(self, folder: Path) -> Sequence[Array]: ...  # outputs of the library
"""

from __future__ import annotations

import json
import math
import multiprocessing
import pickle
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from chameleon_tuner.core.agreement import difference
from chameleon_tuner.core.errors import ModelError, OutputError, TargetError
from chameleon_tuner.ports.backend import Backend, Project, Rehearsal, Winner
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import (
    TUNED,
    Compile,
    Contend,
    Forget,
    HasModels,
    JudgeFinal,
    LoadTask,
    ModelOutputs,
    OpenModel,
    PartShares,
    Ready,
    RejectedError,
    Replay,
    Run,
    Scheduled,
    TimeModel,
    TuningHandler,
)
from chameleon_tuner.ports.judge import Finalist
from chameleon_tuner.ports.measurer import TimingPolicy
from chameleon_tuner.space.plain import to_plain
from chameleon_tuner.space.task import Task, by_kernel

Array: TypeAlias = npt.NDArray[Any]

TOLERANCE = 1e-3
"""Largest difference of right outputs, relative to the largest output."""

_DRAWN = 50
"""Number of configurations of a task that are drawn until one can be scheduled."""

_POLICY = TimingPolicy(budget_secs=0.02, sample_secs=0.0005)

_FIRST = 0
"""Number of the variant of shapes that is built and run."""


def describe(backend: Backend[Any], model: Any) -> dict[str, Any]:
    """Return what has to be the same whenever a model is read; another process can repeat it.

    Args:
        backend: The backend.
        model: A model that it reads.

    Returns:
        The digest, the environment, and the tasks with their spaces, as plain data.
    """
    source = backend.read(model)
    project = backend.prepare(source)
    return {
        "digest": source.digest,
        "environment": project.environment.fingerprint,
        "apart_bytes": project.apart_bytes,
        "tasks": [
            {**asdict(task), "space": to_plain(task.space), "module": ""} for task in project.tasks
        ],
    }


def rehearsed(backend: Backend[Any], model: Any, target: str = "auto") -> Rehearsal | None:
    """Return the rehearsal of a model's import, when it is over.

    Args:
        backend: The backend.
        model: The model.
        target: Name of the target.

    Returns:
        The rehearsal; None of a backend that has none.

    Raises:
        ModelError: The model cannot be imported.
    """
    rehearsal = backend.rehearsal(model, target, None)
    while rehearsal is not None and (request := rehearsal.request()) is not None:
        rehearsal.answered(sent(request).answered_by(None))
    return rehearsal


@dataclass(frozen=True)
class Ran:
    """A contestant that ran.

    Attributes:
        outputs: Its outputs.
        secs: Seconds of a call.
        shares: Shares of its parts in another runtime.
    """

    outputs: Sequence[Array]
    secs: float
    shares: Mapping[str, float]


def ran(entry: HandlerEntry[HasModels], opening: OpenModel) -> Ran:
    """Return what a new handler makes of a contestant; for another process."""
    handler = entry.load()
    opening.answered_by(handler)
    outputs, secs = ModelOutputs().answered_by(handler), TimeModel(0.001).answered_by(handler)
    return Ran(outputs, secs, PartShares().answered_by(handler))


@dataclass(frozen=True)
class Built:
    """What a project has in a folder, and how it runs.

    Attributes:
        folder: The folder.
        ran: The contestants, by name.
    """

    folder: Path
    ran: Mapping[str, Ran]

    @property
    def rivals(self) -> Mapping[str, Ran]:
        """The contestants that the tuned model has to beat."""
        return {name: mine for name, mine in self.ran.items() if name != TUNED}

    @property
    def errors(self) -> Mapping[str, float]:
        """Differences of the tuned model's outputs from the others', by their names."""
        mine = self.ran[TUNED].outputs
        return {name: difference(mine, theirs.outputs) for name, theirs in self.rivals.items()}


def all_ran(
    backend: Backend[Any], project: Project, folders: Mapping[str, Path]
) -> dict[str, Built]:
    """Run the contestants of several folders, all at once: the latencies mean nothing.

    Args:
        backend: The backend.
        project: The project that built them.
        folders: The folders by name.

    Returns:
        The folders with what ran, by the same names.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(folders), mp_context=context) as executor:
        asked = {
            name: {
                contestant: executor.submit(ran, backend.handler, opening)
                for contestant, opening in project.contestants(folder, _FIRST).items()
            }
            for name, folder in folders.items()
        }
        return {
            name: Built(folders[name], {each: future.result() for each, future in mine.items()})
            for name, mine in asked.items()
        }


def sent(request: Any) -> Any:
    """Return a request as a worker process receives it."""
    return pickle.loads(pickle.dumps(request))  # noqa: S301 - made here


def load(handler: TuningHandler, task: Task) -> None:
    """Let a handler learn a task."""
    request = LoadTask(task.key, task.module, dict(task.target), to_plain(task.space))
    sent(request).answered_by(handler)


def schedule(handler: TuningHandler, task: Task) -> Scheduled:
    """Return a candidate of a task that its target accepts.

    Args:
        handler: A handler that has learned the task.
        task: The task.

    Raises:
        AssertionError: All candidates that were drawn are refused.
    """
    rows = task.space.sample(_DRAWN, np.random.default_rng(0))
    for configuration in task.space.configurations(rows):
        try:
            scheduled: Scheduled = sent(Replay(task.key, configuration)).answered_by(handler)
        except RejectedError:
            continue
        return scheduled
    raise AssertionError(f"{task.name}: {_DRAWN} of {_DRAWN} candidates are refused")


def rivals_of(project: Project, folder: Path) -> list[str]:
    """Return the names of what the tuned model of a folder has to beat."""
    return [name for name in project.contestants(folder, _FIRST) if name != TUNED]


def files_of(folder: Path) -> Mapping[str, bytes]:
    """Return the content of every file of a folder by its name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class BackendContract:
    """The contract of every backend; override the fixtures and the method that raise."""

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend[Any]:
        """Return the backend under test; it can be pickled."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Any:
        """Return a small model that can be pickled and that is tuned for this machine.

        If the backend has algorithms, some of its kernels should have tasks of them, and no
        algorithm should replace a kernel for good.
        """
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def broken_model(cls) -> Any:
        """Return a model that cannot be read, such as the path of a file with other content."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def other_model(cls) -> Any:
        """Return a model that differs from `model` in a weight alone."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def unknown_target(cls) -> str:
        """Return a target that the backend does not know."""
        return "no such target"

    def run_deployed(self, folder: Path) -> Sequence[Array]:
        """Run the deployed library of a folder and return its outputs."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def project(cls, backend: Backend[Any], model: Any) -> Project:
        """Return the model as a project with all algorithms."""
        return backend.prepare(backend.read(model))

    @pytest.fixture(scope="class")
    @classmethod
    def handler(cls, backend: Backend[Any], project: Project) -> TuningHandler:
        """Return a handler in this process that has learned all tasks."""
        handler = backend.handler.load()
        for task in project.tasks:
            load(handler, task)
        return handler

    @pytest.fixture(scope="class")
    @classmethod
    def finalists(cls, project: Project, handler: TuningHandler) -> Mapping[str, Finalist]:
        """Return a candidate of every task that is not refused, by the key of the task."""
        found = {}
        for task in project.tasks:
            scheduled = schedule(handler, task)
            Forget(scheduled.ticket).answered_by(handler)
            found[task.key] = Finalist(task, scheduled.configuration)
        return found

    @pytest.fixture(scope="class")
    @classmethod
    def libraries(
        cls,
        backend: Backend[Any],
        project: Project,
        finalists: Mapping[str, Finalist],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Mapping[str, Built]:
        """Return libraries without winners (`plain`), with winners, and with a rival kept.

        One winner is of a kernel's own task, and one of another algorithm.
        """
        home = tmp_path_factory.mktemp("libraries")
        folders = {name: home / name for name in ("plain", "winners", "kept")}
        kernels = list(by_kernel(project.tasks).values())
        alone = [mine[0] for mine in kernels if len(mine) == 1]
        other = [mine[-1] for mine in kernels if len(mine) > 1]
        chosen = (*alone[:1], *other[:1])
        winners = {task.kernel: Winner(finalists[task.key], 1e-3) for task in chosen}
        for name, mine in (("plain", {}), ("winners", winners)):
            folders[name].mkdir()
            project.build(mine, folders[name])
        shutil.copytree(folders["winners"], folders["kept"])
        for variant in range(len(project.variants)):
            rival = rivals_of(project, folders["kept"])[0]
            project.keep(rival, folders["kept"], variant)
        return all_ran(backend, project, folders)

    # -- reading

    def test_algorithms_have_names_to_type_and_a_sentence_each(self, backend: Backend[Any]) -> None:
        algorithms = list(backend.algorithms)
        names = [algorithm.name for algorithm in algorithms]
        assert len(set(names)) == len(names)
        for algorithm in algorithms:
            assert re.fullmatch("[a-z][a-z0-9_]*", algorithm.name)  # also a keyword argument
            assert re.fullmatch(r"[A-Z].*[^.\s]\.", algorithm.help)
            assert ". " not in algorithm.help
        assert list(backend.algorithms) == algorithms

    def test_what_cannot_be_read_is_a_model_error(
        self, backend: Backend[Any], broken_model: Any
    ) -> None:
        with pytest.raises(ModelError):
            backend.read(broken_model)
        with pytest.raises(ModelError):
            backend.read(broken_model, rehearsal=rehearsed(backend, broken_model))

    def test_a_rehearsed_model_is_the_same(
        self, backend: Backend[Any], model: Any, project: Project
    ) -> None:
        source = backend.read(model, rehearsal=rehearsed(backend, model))
        assert source.digest == backend.read(model).digest
        assert [task.key for task in backend.prepare(source).tasks] == [
            task.key for task in project.tasks
        ]

    def test_modules_are_imported_once(self, backend: Backend[Any]) -> None:
        backend.load()
        backend.load()

    def test_an_unknown_target_is_a_target_error(
        self, backend: Backend[Any], model: Any, unknown_target: str
    ) -> None:
        for runnable in (True, False):
            with pytest.raises(TargetError):
                backend.read(model, unknown_target, runnable=runnable)

    def test_a_model_is_the_same_in_a_second_read_and_in_another_process(
        self, backend: Backend[Any], model: Any, project: Project
    ) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            there = executor.submit(describe, backend, model)
            here = describe(backend, model)
            assert there.result() == here
        assert here["digest"]
        assert [task["key"] for task in here["tasks"]] == [task.key for task in project.tasks]
        assert here["environment"] == project.environment.fingerprint

    def test_a_model_is_read_for_its_tasks_alone(self, backend: Backend[Any], model: Any) -> None:
        source, runnable = backend.read(model, runnable=False), backend.read(model)
        assert (source.name, source.digest) == (runnable.name, runnable.digest)
        assert source.name

    def test_other_weights_are_another_model(
        self, backend: Backend[Any], model: Any, other_model: Any
    ) -> None:
        assert backend.read(other_model).digest != backend.read(model).digest

    # -- the project

    def test_tasks_are_distinct_and_can_be_searched(self, project: Project) -> None:
        tasks = list(project.tasks)
        assert tasks
        assert len({task.key for task in tasks}) == len({task.name for task in tasks}) == len(tasks)
        for task in tasks:
            assert task.key
            assert task.weight > 0
            assert math.isfinite(task.flops)
            assert task.flops >= 0
            assert task.space.sketches
            assert task.space.count > 0
            assert dict(task.target) == dict(project.target)
        assert list(project.tasks) == tasks

    def test_what_it_is_tuned_for_is_named(self, project: Project) -> None:
        assert project.variants
        assert len(set(project.variants)) == len(project.variants)
        for name, reason in project.absent.items():
            assert name != TUNED
            assert reason.strip()

    def test_another_algorithm_computes_a_kernel_of_the_model(self, project: Project) -> None:
        kernels = {task.key: task for task in project.tasks if not task.computes}
        assert kernels
        for task in project.tasks:
            if task.computes:
                kernel = kernels[task.computes]
                assert task.algorithm != kernel.algorithm
                assert (task.weight, task.flops) == (kernel.weight, kernel.flops)

    def test_without_an_algorithm_exactly_its_tasks_are_gone(
        self, backend: Backend[Any], model: Any, project: Project
    ) -> None:
        source, every = backend.read(model), list(project.tasks)
        names = [algorithm.name for algorithm in backend.algorithms]

        def gone(without: Collection[str]) -> list[str]:
            left = [task.key for task in backend.prepare(source, without).tasks]
            assert left == [task.key for task in every if task.key in left]
            return [task.key for task in every if task.key not in left]

        of_each = [key for name in names for key in gone([name])]
        assert sorted(of_each) == sorted(task.key for task in every if task.computes)
        assert sorted(gone(names)) == sorted(of_each)

    def test_the_environment_names_the_device_and_stays(self, project: Project) -> None:
        environment = project.environment
        assert environment.device.strip()
        assert environment.threads == project.threads > 0
        assert json.loads(environment.target) == json.loads(json.dumps(dict(project.target)))
        assert environment.versions
        assert project.environment == environment
        assert project.apart_bytes >= 0

    def test_kernels_have_names_of_their_own_in_a_library(self, project: Project) -> None:
        named = project.kernel_names()
        assert set(by_kernel(project.tasks)) <= set(named)
        names = [name for mine in named.values() for name in mine]
        assert all(named.values())
        assert len(set(names)) == len(names)

    # -- the handler

    def test_a_handler_schedules_candidates_of_every_task(
        self, project: Project, handler: TuningHandler
    ) -> None:
        for task in project.tasks:
            scheduled, again = schedule(handler, task), schedule(handler, task)
            assert scheduled.ticket != again.ticket
            assert scheduled.structural_hash == again.structural_hash != ""
            assert scheduled.configuration == again.configuration
            assert task.space.contains(scheduled.configuration)
            for ticket in (scheduled.ticket, again.ticket):
                sent(Forget(ticket)).answered_by(handler)

    def test_a_handler_measures_candidates(self, project: Project, handler: TuningHandler) -> None:
        for task in next(iter(by_kernel(project.tasks).values())):
            scheduled = schedule(handler, task)
            sent(Compile(scheduled.ticket)).answered_by(handler)
            timing = sent(Run(scheduled.ticket, math.inf, _POLICY)).answered_by(handler)
            assert timing.samples
            assert all(0 < secs < math.inf for secs in timing.samples)
            assert not timing.censored

    def test_candidates_are_right_in_a_final(
        self, project: Project, handler: TuningHandler, finalists: Mapping[str, Finalist]
    ) -> None:
        for key, mine in by_kernel(project.tasks).items():
            candidates = [(task.key, finalists[task.key].configuration) for task in mine]
            sent(Ready(key, candidates)).answered_by(handler)
            sent(Contend(2, 0.0005, project.apart_bytes)).answered_by(handler)
            untuned, *judged = sent(JudgeFinal(-1.0)).answered_by(handler)
            assert untuned.error == 0.0
            assert untuned.samples
            assert len(judged) == len(candidates)
            for timed in judged:
                assert not timed.message
                assert timed.samples
                assert timed.error is not None
                assert timed.error <= TOLERANCE

    # -- libraries

    def test_the_tuned_model_has_rivals_that_get_the_same_inputs(
        self, project: Project, tmp_path: Path
    ) -> None:
        contestants = project.contestants(tmp_path, _FIRST)
        assert TUNED in contestants
        assert rivals_of(project, tmp_path)
        for name, opening in contestants.items():
            assert opening.contestant == name
            assert opening.threads == project.threads
            assert Path(opening.path).is_relative_to(tmp_path)
            assert list(opening.inputs) == list(contestants[TUNED].inputs)
            for mine, same in zip(
                opening.inputs.values(), contestants[TUNED].inputs.values(), strict=True
            ):
                np.testing.assert_array_equal(mine, same)

    def test_parts_in_another_runtime_have_operators(self, project: Project) -> None:
        for operators, reasons in project.parts(_FIRST).values():
            assert operators
            assert all(reasons)

    def test_libraries_are_right_with_winners_and_without(
        self, project: Project, libraries: Mapping[str, Built]
    ) -> None:
        for built in libraries.values():
            assert all(error <= TOLERANCE for error in built.errors.values())
            for contestant in built.ran.values():
                assert 0 < contestant.secs < math.inf
                assert set(contestant.shares) <= set(project.parts(_FIRST))
                assert all(0 <= share <= 1 for share in contestant.shares.values())

    def test_a_rival_can_be_deployed(self, libraries: Mapping[str, Built]) -> None:
        assert next(iter(libraries["kept"].errors.values())) == 0.0  # the same code and inputs

    def test_the_deployed_library_needs_no_rivals(
        self,
        backend: Backend[Any],
        project: Project,
        libraries: Mapping[str, Built],
        tmp_path: Path,
    ) -> None:
        for name in ("winners", "kept"):
            folder = shutil.copytree(libraries[name].folder, tmp_path / name)
            before = files_of(folder)
            project.drop_rivals(folder)
            assert files_of(folder).items() <= before.items()
            assert all(np.isfinite(output).all() for output in self.run_deployed(folder))
        folder = tmp_path / "winners"
        for rival in rivals_of(project, folder):
            with pytest.raises(Exception, match=r"\S"):
                ran(backend.handler, project.contestants(folder, _FIRST)[rival])

    def test_a_folder_that_cannot_be_written_is_an_output_error(self, project: Project) -> None:
        with pytest.raises(OutputError):
            project.build({}, Path("/proc"))  # not even by root
