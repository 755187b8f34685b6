"""The work of `chameleon compare`: run the missing runs, time all incumbents, write results."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from chameleon_tuner.bench.compare.arenas import Arena, MachineArena, ReplayArena, digest_of
from chameleon_tuner.bench.compare.contest import Contest, Run, contestants_of
from chameleon_tuner.bench.compare.folder import RECORDING, RESULTS, T4, Folder, write_json
from chameleon_tuner.bench.compare.suites import (
    PAPER_SUITES,
    check_suite,
    chosen,
    target_of,
    tasks_of,
)
from chameleon_tuner.bench.fair.writing import results_of, write_t4
from chameleon_tuner.bench.figures.curve import Curve, curve_of, incumbents_of
from chameleon_tuner.bench.figures.merit import Merit, figures_of_merit
from chameleon_tuner.bench.figures.score import RecipeScore, scores
from chameleon_tuner.bench.recording import Recording, recording_of, write_recordings
from chameleon_tuner.core.configuration import DeployedKernel
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.ports.runlog import RunLog
from chameleon_tuner.search.schedule import parse_duration
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import strict_json
from chameleon_tuner.system.machine import cpu_name, usable_cores, versions
from chameleon_tuner.zoo import NETWORKS

DEFAULT_RECIPES = "chameleon,2x2,autotvm,metaschedule"
"""Recipes that are compared on hardware by default."""

DEFAULT_REPLAYED = "chameleon,chameleon-paper,2x2,autotvm,evolutionary,random"
"""Recipes that are compared on recordings by default; MetaSchedule cannot be replayed."""


@dataclass(frozen=True)
class ComparisonOptions:
    """The options of a comparison.

    Attributes:
        suite: Name of a suite or path of an ONNX file; optional for a replay.
        tasks: Names or numbers of the tasks to use; empty for all tasks.
        recipes: Comma-separated recipes, see `contestants_of`; None for the defaults.
        trials: Trials per run; None without a limit.
        budget: Wall-clock budget per run, such as `120s`; None without a limit.
        seeds: Number of seeds; every recipe runs once per task and seed.
        target: Target that the tasks of a suite are prepared for.
        reference: Recipe that the others are compared with; None for the default, see
            `figures_of_merit`.
        replay: Recordings to search on instead of this machine.
        policy: Replay policy, see `ReplayMeasurer`.
        t4: Whether every run is written as T4 results, too.
    """

    suite: str | None = None
    tasks: Sequence[str] = ()
    recipes: str | None = None
    trials: int | None = None
    budget: str | None = None
    seeds: int = 3
    target: str = "auto"
    reference: str | None = None
    replay: Sequence[Path] = ()
    policy: str = "nearest"
    t4: bool = False

    def contest(self) -> Contest:
        """Return the terms of the comparison, after checking them.

        Raises:
            UsageError: An option is unknown or out of range.
        """
        recipes = self.recipes or (DEFAULT_REPLAYED if self.replay else DEFAULT_RECIPES)
        budget_secs = parse_duration(self.budget) if self.budget else math.inf
        contest = Contest(contestants_of(recipes), self.trials, budget_secs, self.seeds)
        contest.check()
        labels = [contestant.label for contestant in contest.contestants]
        if self.reference and self.reference not in labels:
            raise UsageError(
                f"the reference {self.reference!r} does not take part; choose one of "
                f"{', '.join(labels)}"
            )
        return contest

    def arena(self, contest: Contest) -> Arena:
        """Return the arena in which the runs take place.

        Raises:
            UsageError: The suite or a recording does not exist, or a contestant cannot be replayed.
        """
        if self.replay:
            replayed = ReplayArena(self.replay, self.policy)
            replayed.check(contest.contestants)
            return replayed
        if self.suite is None:
            known = [*PAPER_SUITES, *NETWORKS]
            raise UsageError(
                f"nothing to compare on; give --suite ({', '.join(known)}, or an ONNX file) or "
                "--replay"
            )
        check_suite(self.suite)
        return MachineArena(self.suite, self.target)

    def identity(self) -> dict[str, Any]:
        """Return the terms that all runs in one folder share; runs with others are not mixed."""
        if self.replay:
            place: dict[str, Any] = {"replay": digest_of(self.replay), "policy": self.policy}
        else:
            # CPUs of different generations can have the same name, but LLVM's names in the target
            # differ.
            place = {"suite": _suite_identity(str(self.suite)), "target": target_of(self.target)}
            place |= {"machine": cpu_name(), "threads": usable_cores()}
        budget_secs = parse_duration(self.budget) if self.budget else None
        return place | {
            "trials": self.trials,
            "budget_secs": budget_secs,
            "versions": versions(),
        }


class Watcher(Protocol):
    """Receives the progress of a comparison."""

    def begin(self, done: int, missing: Sequence[Run]) -> None:
        """Take note of the number of runs done by earlier sessions and of the missing runs."""
        ...

    def run_done(self, run: Run, log: RunLog) -> None:
        """Take note of a run that has ended."""
        ...

    def timing(self, kernels: Mapping[str, int]) -> None:
        """Take note that neutral timing begins, with the number of kernels by task."""
        ...


@dataclass(frozen=True)
class Compared:
    """A finished comparison.

    Attributes:
        folder: Path of its folder.
        suite: Name of the suite, or names of the recordings.
        tasks: Tasks that the recipes were compared on.
        curves: Curves of all runs.
        merit: Figures of merit of every recipe against the reference.
        facts: Notes about machine, clock and timer, see `Arena.facts`.
        versions: Versions of the packages.
        logs: Logs of all runs, cut to their budgets.
        scores: Scores by recipe on the tasks of which everything is recorded, see `scores`.
    """

    folder: Path
    suite: str
    tasks: Sequence[Task]
    curves: Sequence[Curve]
    merit: Merit
    facts: Mapping[str, str]
    versions: Mapping[str, str]
    logs: Sequence[RunLog]
    scores: Mapping[str, RecipeScore] = field(default_factory=dict)


def compare(options: ComparisonOptions, out: Path, watcher: Watcher) -> Compared:
    """Execute the missing runs, time all incumbents neutrally, and write `results.json`.

    Args:
        options: Options of the comparison.
        out: Folder of the comparison; the runs that it already has are not repeated.
        watcher: Receives the progress.

    Returns:
        The finished comparison.

    Raises:
        ChameleonError: See its subclasses. Nothing on disk has changed if the cause is an option,
            the suite or the folder.
    """
    contest = options.contest()
    arena = options.arena(contest)
    folder, identity = Folder(out), options.identity()
    folder.check(identity)
    tasks = _tasks(options, arena, folder, identity)
    logs = _logs(contest, tasks, arena, folder, watcher)
    logs = [log.within(contest.budget_secs) for log in logs]
    neutral = _neutral(arena, folder, logs, watcher)
    curves = [curve_of(log, neutral.get(log.task, {})) for log in logs]
    compared = Compared(
        folder=out,
        suite=_suite_name(options),
        tasks=tasks,
        curves=curves,
        merit=figures_of_merit(curves, options.reference),
        facts=arena.facts(),
        versions=identity["versions"],
        logs=logs,
        scores=scores(logs, arena.scales()),
    )
    _write(compared, options, identity)
    return compared


def _tasks(
    options: ComparisonOptions, arena: Arena, folder: Folder, identity: Mapping[str, Any]
) -> list[Task]:
    """Return the requested tasks, after making the folder and writing the suite's tasks to it.

    Nothing is written if a requested task does not exist.
    """
    held = folder.tasks()
    tasks = held or arena.tasks()
    wanted = chosen(tasks, options.tasks)
    if options.replay and options.suite:
        wanted = chosen(tasks, _recorded(options, tasks))
    folder.begin(identity)
    if not held:
        folder.keep_tasks(tasks)
    return wanted


def _recorded(options: ComparisonOptions, recorded: Sequence[Task]) -> list[str]:
    """Return the names of the requested tasks of a suite, which must all be recorded.

    Raises:
        UsageError: A task of the suite is not recorded, or another kernel has its name.
    """
    keys = {task.name: task.key for task in recorded}
    wanted = chosen(tasks_of(str(options.suite), options.target), options.tasks)
    for task in wanted:
        if keys.get(task.name) != task.key:
            held = "another kernel" if task.name in keys else f"of {', '.join(keys)} only"
            raise UsageError(
                f"{task.name} of {options.suite} is not in the replay ({held}); record it, or "
                "choose others with --tasks"
            )
    return [task.name for task in wanted]


def _logs(
    contest: Contest, tasks: Sequence[Task], arena: Arena, folder: Folder, watcher: Watcher
) -> list[RunLog]:
    """Execute the missing runs, and return the logs of all runs, recipe by recipe."""
    runs = list(contest.runs([task.name for task in tasks]))
    logs = {run: log for run in runs if (log := folder.finished(run)) is not None}
    missing = [run for run in runs if run not in logs]
    watcher.begin(len(logs), missing)
    for run, log in arena.run(missing, folder):
        logs[run] = log
        watcher.run_done(run, log)
        _check_budget(run, log)
    order = {contestant.label: n for n, contestant in enumerate(contest.contestants)}
    runs.sort(key=lambda run: order[run.contestant.label])
    return [logs[run] for run in runs]


def _check_budget(run: Run, log: RunLog) -> None:
    """Raise a `UsageError` if the first batch of a run ended after the time budget."""
    if log.batches and not log.within(run.terms.budget_secs).batches:
        raise UsageError(
            f"a budget of {run.terms.budget_secs:g} s is too small for one batch of {log.recipe}, "
            f"which ended after {log.batches[0].seconds:.0f} s on {log.task}; give a larger "
            "--budget and another --out"
        )


def _neutral(
    arena: Arena, folder: Folder, logs: Sequence[RunLog], watcher: Watcher
) -> dict[str, Mapping[DeployedKernel, float]]:
    """Time all incumbents neutrally: microseconds by task name and kernel."""
    wanted = incumbents_of(logs)
    watcher.timing({task: len(kernels) for task, kernels in wanted.items()})
    return dict(arena.time(folder, wanted))


def _write(compared: Compared, options: ComparisonOptions, identity: Mapping[str, Any]) -> None:
    """Write `results.json` and, unless it was a replay, the recording."""
    folder = compared.folder
    write_json(
        folder / RESULTS,
        {
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "suite": compared.suite,
            "machine": {"cpu": cpu_name(), "threads": usable_cores()},
            "facts": dict(compared.facts),
            **{key: identity[key] for key in ("trials", "budget_secs", "versions")},
            "tasks": [
                {"name": t.name, "weight": t.weight, "flops": t.flops, "arguments": t.arguments}
                for t in compared.tasks
            ],
            "scores": strict_json(compared.scores),
            "merit": strict_json(compared.merit),
            "curves": strict_json(compared.curves),
        },
    )
    if not options.replay:
        write_recordings(folder / RECORDING, _recordings(compared))
    if options.t4:
        _write_t4(compared)


def _write_t4(compared: Compared) -> None:
    """Write every run as T4 results, with the trials in their order."""
    spaces = {task.name: task.space for task in compared.tasks}
    (compared.folder / T4).mkdir(exist_ok=True)
    for log in compared.logs:
        name = f"{log.task}.{log.recipe.replace(':', '-')}.{log.seed}.json.gz"
        write_t4(compared.folder / T4 / name, results_of(spaces[log.task], log.trials))


def _recordings(compared: Compared) -> list[Recording]:
    """Return the recordings of all tasks of which a run measured something."""
    found = [
        recording_of(
            task,
            compared.logs,
            machine=cpu_name(),
            threads=usable_cores(),
            versions=compared.versions,
        )
        for task in compared.tasks
    ]
    return [recording for recording in found if recording.outcomes]


def _suite_name(options: ComparisonOptions) -> str:
    if options.suite:
        return Path(options.suite).name
    return ", ".join(path.name for path in options.replay)


def _suite_identity(suite: str) -> str:
    """Return the name of a suite, or a hash of the content of a model file."""
    path = Path(suite)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else suite
