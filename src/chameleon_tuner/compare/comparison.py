"""`chameleon compare`: runs what is missing, times everything neutrally, writes the results."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from chameleon_tuner.compare.arena import Arena, MachineArena
from chameleon_tuner.compare.contest import Contest, Run, contestants_of
from chameleon_tuner.compare.curve import Curve
from chameleon_tuner.compare.folder import RECORDING, RESULTS, Folder, write_json
from chameleon_tuner.compare.merit import Merit, figures_of_merit
from chameleon_tuner.compare.recording import Recording, recording_of, write_recordings
from chameleon_tuner.compare.replayed import ReplayArena, digest_of
from chameleon_tuner.compare.results import curve_of, incumbents_of
from chameleon_tuner.compare.runlog import RunLog
from chameleon_tuner.compare.suites import PAPER_SUITES, check_suite, chosen, target_of, tasks_of
from chameleon_tuner.errors import UsageError
from chameleon_tuner.finish import versions
from chameleon_tuner.machine import cpu_name, usable_cores
from chameleon_tuner.schedule import parse_duration
from chameleon_tuner.space import Deployed
from chameleon_tuner.task import Task
from chameleon_tuner.writing import strict_json
from chameleon_tuner.zoo import NETWORKS

DEFAULT_RECIPES = "chameleon,2x2,autotvm,metaschedule"
DEFAULT_REPLAYED = "chameleon,chameleon-paper,2x2,autotvm,evolutionary,random"


@dataclass(frozen=True)
class Options:
    """What a comparison is asked for.

    Attributes:
        suite: a name or the path of an ONNX file; not needed for a replay.
        tasks: names or numbers of some of its tasks; none for all.
        recipes: see `contestants_of`; None for the usual ones.
        trials: a run.
        budget: wall-clock of a run, such as `120s`.
        seeds: runs of every recipe on every task.
        target: of a suite.
        reference: the recipe that the others are held against.
        replay: recordings in place of this machine.
        policy: of a replay, see `ReplayMeasurer`.
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

    def contest(self) -> Contest:
        """The terms, once they are known to be right.

        Raises:
            UsageError: something is unknown or out of range.
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
        """Where the runs take place.

        Raises:
            UsageError: there is no such suite or recording.
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
        """What all runs of one folder have in common."""
        if self.replay:
            place: dict[str, Any] = {"replay": digest_of(self.replay), "policy": self.policy}
        else:
            # Makers give CPUs of several generations one name; LLVM tells them apart.
            place = {"suite": _suite_identity(str(self.suite)), "target": target_of(self.target)}
            place |= {"machine": cpu_name(), "threads": usable_cores()}
        budget_secs = parse_duration(self.budget) if self.budget else None
        return place | {
            "trials": self.trials,
            "budget_secs": budget_secs,
            "versions": versions(),
        }


class Watcher(Protocol):
    """Is told how far a comparison is."""

    def begin(self, done: int, missing: Sequence[Run]) -> None:
        """So many runs were done before, these are missing."""
        ...

    def run_done(self, run: Run, log: RunLog) -> None:
        """A run has ended."""
        ...

    def timing(self, kernels: Mapping[str, int]) -> None:
        """The neutral timer begins; it has so many kernels of every task."""
        ...


@dataclass(frozen=True)
class Compared:
    """A finished comparison.

    Attributes:
        folder: where it is.
        suite: its name.
        tasks: that were compared on.
        curves: of all runs.
        merit: every recipe against the reference.
        facts: what the figures depend on.
        versions: of packages.
        logs: of all runs, cut to their budgets.
    """

    folder: Path
    suite: str
    tasks: Sequence[Task]
    curves: Sequence[Curve]
    merit: Merit
    facts: Mapping[str, str]
    versions: Mapping[str, str]
    logs: Sequence[RunLog]


def compare(options: Options, out: Path, watcher: Watcher) -> Compared:
    """Run what is missing, time all incumbents neutrally, and write `results.json`.

    Raises:
        ChameleonError: see its subclasses; nothing on disk has changed when an option, the suite
            or the folder is at fault.
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
    )
    _write(compared, options, identity)
    return compared


def _tasks(
    options: Options, arena: Arena, folder: Folder, identity: Mapping[str, Any]
) -> list[Task]:
    """Those that were asked for; once they are known to be there, the folder is made."""
    held = folder.tasks()
    tasks = held or arena.tasks()
    wanted = chosen(tasks, options.tasks)
    if options.replay and options.suite:
        wanted = chosen(tasks, _recorded(options, tasks))
    folder.begin(identity)
    if not held:
        folder.keep_tasks(tasks)
    return wanted


def _recorded(options: Options, recorded: Sequence[Task]) -> list[str]:
    """Names of a suite's tasks; raises UsageError where one is not what was recorded."""
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
    """The logs of all runs, recipe by recipe; those that are missing are run first."""
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
    """Raises UsageError for a budget that ended before the first batch."""
    if log.batches and not log.within(run.terms.budget_secs).batches:
        raise UsageError(
            f"a budget of {run.terms.budget_secs:g} s is too small for one batch of {log.recipe}, "
            f"which ended after {log.batches[0].seconds:.0f} s on {log.task}; give a larger "
            "--budget and another --out"
        )


def _neutral(
    arena: Arena, folder: Folder, logs: Sequence[RunLog], watcher: Watcher
) -> dict[str, Mapping[Deployed, float]]:
    wanted = incumbents_of(logs)
    watcher.timing({task: len(kernels) for task, kernels in wanted.items()})
    return dict(arena.time(folder, wanted))


def _write(compared: Compared, options: Options, identity: Mapping[str, Any]) -> None:
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
            "merit": strict_json(compared.merit),
            "curves": strict_json(compared.curves),
        },
    )
    if not options.replay:
        write_recordings(folder / RECORDING, _recordings(compared))


def _recordings(compared: Compared) -> list[Recording]:
    """What the runs measured, for comparisons that need no hardware."""
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


def _suite_name(options: Options) -> str:
    if options.suite:
        return Path(options.suite).name
    return ", ".join(path.name for path in options.replay)


def _suite_identity(suite: str) -> str:
    path = Path(suite)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else suite
