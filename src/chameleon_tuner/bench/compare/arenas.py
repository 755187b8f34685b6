"""Arenas: where the runs of a comparison take place, on this machine or on recordings."""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.backends.tvm.backend import HANDLER
from chameleon_tuner.bench.compare.contest import Contestant, Run
from chameleon_tuner.bench.compare.folder import Folder
from chameleon_tuner.bench.compare.neutral import (
    ROUND_SECS,
    ROUNDS,
    median_us,
    neutral_samples,
    noise,
    timed,
)
from chameleon_tuner.bench.compare.processes import Assignment, run_process
from chameleon_tuner.bench.compare.searching import searched
from chameleon_tuner.bench.compare.suites import tasks_of
from chameleon_tuner.bench.fair.documents import read_document
from chameleon_tuner.bench.fair.reading import read_fair
from chameleon_tuner.bench.figures.score import Scale
from chameleon_tuner.bench.recording import Recording, read_recordings
from chameleon_tuner.core.configuration import Configuration, DeployedKernel
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.measure.local.measurer import LocalNeutralTimer
from chameleon_tuner.measure.local.pool import WorkerPool
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock
from chameleon_tuner.ports.entry import HandlerEntry
from chameleon_tuner.ports.handler import Handler
from chameleon_tuner.ports.runlog import METASCHEDULE, RunLog, is_metaschedule, write_log
from chameleon_tuner.search.recipes import resolve_recipe
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.machine import cpu_name, thread_environment, usable_cores


class Arena(Protocol):
    """The place where runs are executed, with its neutral timer."""

    def tasks(self) -> list[Task]:
        """Return all tasks of the suite or of the recordings."""
        ...

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """Execute runs and yield each with its log, which is in the folder by then."""
        ...

    def time(
        self, folder: Folder, wanted: Mapping[str, Sequence[DeployedKernel]]
    ) -> Iterator[tuple[str, Mapping[DeployedKernel, float]]]:
        """Time kernels neutrally, one task after another.

        Args:
            folder: Folder of the comparison.
            wanted: Kernels to time, by name of their task.

        Yields:
            The name of a task and the microseconds of each of its kernels.
        """
        ...

    def scales(self) -> dict[str, Scale]:
        """Return the times of everything in the tasks of which everything is known, by name."""
        ...

    def facts(self) -> dict[str, str]:
        """Return notes for the reader of the results: machine, clock and timer, by topic."""
        ...


class MachineArena:
    """This machine as an arena: every run has a new process, and runs go one after another.

    Args:
        suite: Name of a suite or path of an ONNX file.
        target: Target as given by the user.
        handler: Where the worker processes find their handler.
    """

    def __init__(self, suite: str, target: str, handler: HandlerEntry[Handler] = HANDLER) -> None:
        self._suite, self._target, self._handler = suite, target, handler
        self._threads = usable_cores()
        self._noise: dict[str, float] = {}

    def tasks(self) -> list[Task]:
        """See `Arena.tasks`."""
        return tasks_of(self._suite, self._target)

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """See `Arena.run`."""
        tasks = {task.name: task for task in folder.tasks()}
        for run in runs:
            with tempfile.TemporaryDirectory() as scratch:
                messages = folder.path / "messages" / f"{run.name}.txt"
                assignment = self._assignment(run, tasks[run.task], folder, scratch)
                yield run, run_process(assignment, messages)

    def time(
        self, folder: Folder, wanted: Mapping[str, Sequence[DeployedKernel]]
    ) -> Iterator[tuple[str, Mapping[DeployedKernel, float]]]:
        """See `Arena.time`.

        The kernels of a task are timed together. If an earlier session timed all of them, its
        samples are reused.
        """
        tasks = {task.name: task for task in folder.tasks()}
        with WorkerPool(self._handler, 1, thread_environment(self._threads)) as pool:
            timer = LocalNeutralTimer(pool)
            for name, configurations in wanted.items():
                task = tasks[name]

                def measure(
                    distinct: Sequence[DeployedKernel], task: Task = task
                ) -> Mapping[DeployedKernel, tuple[float, ...]]:
                    return neutral_samples(timer, task, distinct)

                samples = timed(folder.path / "neutral", task, configurations, measure)
                self._noise[name] = noise(samples.values())
                yield name, {c: median_us(mine) for c, mine in samples.items()}

    def scales(self) -> dict[str, Scale]:
        """See `Arena.scales`; of a machine nothing is known in advance."""
        return {}

    def facts(self) -> dict[str, str]:
        """See `Arena.facts`."""
        spread = sorted(self._noise.values())
        middle = f"{100 * spread[len(spread) // 2]:.1f}%" if spread else "-"
        return {
            "machine": f"{cpu_name()}, {self._threads} cores",
            "seconds": "wall-clock of each run, from the start of its process",
            "neutral timer": f"median of {ROUNDS} interleaved rounds of {ROUND_SECS} s; its "
            f"interquartile range is {middle} of that, in the middle of the tasks; each kernel is "
            "lowered as its tuner deploys it",
        }

    def _assignment(self, run: Run, task: Task, folder: Folder, scratch: str) -> Assignment:
        """Describe a run for its process."""
        return Assignment(
            task=task.name,
            key=task.key,
            module=str(folder.module(task.name).resolve()),
            target=dict(task.target),
            vector_bits=task.vector_bits,
            recipe=run.contestant.recipe,
            terms=run.terms,
            log=str(folder.log(run).resolve()),
            scratch=scratch,
            handler=(self._handler.module, self._handler.attribute),
            threads=self._threads,
        )


POLICY_MEANING = {
    "nearest": "a configuration that was not recorded gets the outcome of the nearest one that was",
    "surrogate": "a configuration that was not recorded gets its time from boosted trees fitted to "
    "all that were, and its cost from the nearest",
}
"""Explanations of the replay policies for the reader of the results."""


class ReplayArena:
    """Recorded measurements as an arena; one run per CPU core is replayed at a time.

    Args:
        paths: Files with recordings.
        policy: Replay policy, see `ReplayMeasurer`.

    Raises:
        UsageError: A file is not a recording.
    """

    def __init__(self, paths: Sequence[Path], policy: str) -> None:
        self._recordings = {r.task.name: r for r in _recordings(paths)}
        self._policy = policy
        self._counts = {name: len(r.outcomes) for name, r in self._recordings.items()}

    def check(self, contestants: Iterable[Contestant]) -> None:
        """Raise a `UsageError` unless the runs of all contestants can be replayed.

        Raises:
            UsageError: MetaSchedule is a contestant, the policy is unknown, or a recording is
                empty.
        """
        for recording in self._recordings.values():
            ReplayMeasurer(recording, self._policy)
        if any(is_metaschedule(contestant.recipe) for contestant in contestants):
            raise UsageError(
                f"{METASCHEDULE} measures for itself and cannot be replayed; leave it out, or "
                "compare on hardware, without --replay"
            )

    def tasks(self) -> list[Task]:
        """See `Arena.tasks`; the tasks are part of the recordings."""
        return [recording.task for recording in self._recordings.values()]

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """See `Arena.run`; the logs are yielded in the order of the runs."""
        listed = list(runs)
        if not listed:
            return
        pool = ProcessPoolExecutor(
            usable_cores(),
            multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(self._recordings, self._policy),
        )
        try:
            logs = pool.map(_replay, listed)
            for run, log in zip(listed, logs, strict=True):
                write_log(log, folder.log(run))
                yield run, log
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def time(
        self, folder: Folder, wanted: Mapping[str, Sequence[DeployedKernel]]
    ) -> Iterator[tuple[str, Mapping[DeployedKernel, float]]]:
        """See `Arena.time`; replayed times have no noise."""
        for name, configurations in wanted.items():
            distinct = [c for c in dict.fromkeys(configurations) if isinstance(c, Configuration)]
            truth = ReplayMeasurer(self._recordings[name], self._policy).true_us(distinct)
            yield name, dict(zip(distinct, np.asarray(truth).tolist(), strict=True))

    def scales(self) -> dict[str, Scale]:
        """See `Arena.scales`; of a Benchmark Hub file everything is known."""
        whole = {name: r for name, r in self._recordings.items() if r.complete}
        secs = {n: np.sort([o.seconds for o in r.outcomes]) for n, r in whole.items()}
        return {n: Scale(all_[np.isfinite(all_)]) for n, all_ in secs.items() if all_[0] < np.inf}

    def facts(self) -> dict[str, str]:
        """See `Arena.facts`."""
        first = next(iter(self._recordings.values()))
        counts = ", ".join(f"{name} {count}" for name, count in self._counts.items())
        return {
            "replay": f"of {counts} configurations recorded on {first.machine}, "
            f"{first.threads} cores; no hardware was involved",
            "policy": f"{self._policy}: {POLICY_MEANING[self._policy]}",
            "seconds": "recorded costs of building and running; exploring and fitting cost "
            "nothing here",
        }


def _recordings(paths: Sequence[Path]) -> list[Recording]:
    """Read recordings of this project and files in the FAIR formats.

    Raises:
        UsageError: A file is neither, or two files in the FAIR formats have the same name.
    """
    foreign = [path for path in paths if path.is_file() and read_document(path) is not None]
    found = read_recordings([path for path in paths if path not in foreign])
    for path in foreign:
        recording = read_fair(path)
        if any(other.task.name == recording.task.name for other in found):
            raise UsageError(
                f"{path}: {recording.task.name} is there twice; rename one of the files"
            )
        found.append(recording)
    return found


def digest_of(paths: Sequence[Path]) -> str:
    """Return a hash of the contents of recording files.

    Raises:
        UsageError: A file is missing.
    """
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; name a recording") from None


# -- in the processes of a replay

_prepared: dict[str, tuple[Task, ReplayMeasurer]] = {}
"""Tasks and their measurers by task name, filled once per process."""


def _prepare(recordings: Mapping[str, Recording], policy: str) -> None:
    """Initialise a replay process with a measurer for each recording."""
    # Several runs share the machine. A single thread also makes the order of summation fixed.
    threadpool_limits(1)
    for name, recording in recordings.items():
        measurer = ReplayMeasurer(recording, policy)
        measurer.warm()
        _prepared[name] = recording.task, measurer


def _replay(run: Run) -> RunLog:
    """Execute a run on the recording of its task, with a virtual clock."""
    clock = VirtualClock()
    task, measurer = _prepared[run.task]
    recipe = resolve_recipe(run.contestant.recipe)
    return searched(task, recipe, run.terms, measurer.on(clock), clock, lambda log: None)
