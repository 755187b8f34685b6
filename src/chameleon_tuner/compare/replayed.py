"""A comparison without hardware: searches on recorded measurements, on a virtual clock."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from chameleon_tuner.compare.contest import METASCHEDULE, Contestant, Run
from chameleon_tuner.compare.folder import Folder
from chameleon_tuner.compare.recording import Recording, read_recordings
from chameleon_tuner.compare.runlog import RunLog, write_log
from chameleon_tuner.compare.searching import searched
from chameleon_tuner.errors import UsageError
from chameleon_tuner.machine import usable_cores
from chameleon_tuner.measure.replay import ReplayMeasurer, VirtualClock
from chameleon_tuner.recipes import resolve_recipe
from chameleon_tuner.space import Configuration, Deployed
from chameleon_tuner.task import Task

POLICY_MEANING = {
    "nearest": "a configuration that was not recorded gets the outcome of the nearest one that was",
    "surrogate": "a configuration that was not recorded gets its time from boosted trees fitted to "
    "all that were, and its cost from the nearest",
}


class ReplayArena:
    """Recorded measurements in place of this machine; as many runs at once as it has cores.

    Args:
        paths: of the recordings.
        policy: see `ReplayMeasurer`.

    Raises:
        UsageError: a file is no recording.
    """

    def __init__(self, paths: Sequence[Path], policy: str) -> None:
        self._recordings = {r.task.name: r for r in read_recordings(paths)}
        self._policy = policy
        self._counts = {name: len(r.outcomes) for name, r in self._recordings.items()}

    def check(self, contestants: Iterable[Contestant]) -> None:
        """Make sure that everybody can be replayed.

        Raises:
            UsageError: MetaSchedule is among them, the policy is unknown, or a recording empty.
        """
        for recording in self._recordings.values():
            ReplayMeasurer(recording, self._policy)
        if any(contestant.recipe == METASCHEDULE for contestant in contestants):
            raise UsageError(
                f"{METASCHEDULE} measures for itself and cannot be replayed; leave it out, or "
                "compare on hardware, without --replay"
            )

    def tasks(self) -> list[Task]:
        """See `Arena.tasks`; they come with the recordings."""
        return [recording.task for recording in self._recordings.values()]

    def run(self, runs: Iterable[Run], folder: Folder) -> Iterator[tuple[Run, RunLog]]:
        """See `Arena.run`; the runs come in their order."""
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
        self, folder: Folder, wanted: Mapping[str, Sequence[Deployed]]
    ) -> Iterator[tuple[str, Mapping[Deployed, float]]]:
        """See `Arena.time`: what the replay answers is without noise."""
        for name, configurations in wanted.items():
            distinct = [c for c in dict.fromkeys(configurations) if isinstance(c, Configuration)]
            truth = ReplayMeasurer(self._recordings[name], self._policy).true_us(distinct)
            yield name, dict(zip(distinct, np.asarray(truth).tolist(), strict=True))

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


def digest_of(paths: Sequence[Path]) -> str:
    """What tells these recordings from others.

    Raises:
        UsageError: a file is missing.
    """
    try:
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; name a recording") from None


# -- in the processes

_prepared: dict[str, tuple[Task, ReplayMeasurer]] = {}


def _prepare(recordings: Mapping[str, Recording], policy: str) -> None:
    # Several runs share the machine; one thread each also keeps sums in their order.
    threadpool_limits(1)
    for name, recording in recordings.items():
        measurer = ReplayMeasurer(recording, policy)
        measurer.warm()
        _prepared[name] = recording.task, measurer


def _replay(run: Run) -> RunLog:
    clock = VirtualClock()
    task, measurer = _prepared[run.task]
    recipe = resolve_recipe(run.contestant.recipe)
    return searched(task, recipe, run.terms, measurer.on(clock), clock, lambda log: None)
