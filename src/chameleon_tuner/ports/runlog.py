"""The log of one tuner's run on one task, written by its process and read by the comparison."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.core.configuration import Configuration, ForeignTrace
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Status
from chameleon_tuner.system.files import write_whole

METASCHEDULE = "metaschedule"
"""Name of TVM's own tuner as a contestant; it is no recipe of this project."""

OUR_STRATEGY = f"{METASCHEDULE}+chameleon"
"""Name of TVM's own tuner with this project's search in place of its own."""

METASCHEDULE_BATCH = 64
"""Trials per round of MetaSchedule, its default (`num_trials_per_iter`)."""

Kernel = Configuration | ForeignTrace
"""What a kernel can be rebuilt from."""


@dataclass(frozen=True)
class Trial:
    """One candidate as its tuner measured it.

    Attributes:
        configuration: The configuration that ran; None if the trace of another tuner has no
            equivalent configuration.
        status: How the measurement ended.
        own_secs: Latency measured by the tuner; infinite for failures.
        build_secs: Seconds spent on building this candidate; nan if the tuner does not report it.
        run_secs: Seconds spent on running this candidate; nan if the tuner does not report it.
        trace: Trace of a candidate without configuration, if the tuner provides it.
    """

    configuration: Configuration | None
    status: Status
    own_secs: float
    build_secs: float = math.nan
    run_secs: float = math.nan
    trace: ForeignTrace | None = None


@dataclass(frozen=True)
class Checkpoint:
    """The progress of a run at the end of a batch.

    Attributes:
        seconds: Time on the run's clock, which starts with its process.
        measurements: Trials measured so far, including this batch.
        steps: Exploration steps so far; 0 if the tuner does not report them.
    """

    seconds: float
    measurements: int
    steps: int = 0


@dataclass(frozen=True)
class Incumbent:
    """A candidate that was the fastest so far by its tuner's own measurements.

    Attributes:
        seconds: Time on the run's clock at the end of the candidate's batch, when its result
            became available to the tuner.
        measurements: Trials measured up to and including this candidate.
        steps: Exploration steps up to the end of its batch.
        own_secs: Latency measured by the tuner.
        kernel: Configuration or trace of the candidate; None if neither is known.
    """

    seconds: float
    measurements: int
    steps: int
    own_secs: float
    kernel: Kernel | None


@dataclass(frozen=True)
class RunLog:
    """The log of one run of a recipe on a task with one seed.

    On hardware, every run has its own process.

    Attributes:
        recipe: Label of the recipe in the comparison, such as `random` or `random:64`.
        task: Name of the task.
        seed: Seed of the search.
        startup_secs: Time on the clock when the first batch can begin; imports and loading the
            task come before.
        total_secs: Time on the clock at the end of the run.
        spent: Seconds by activity, see `Stopwatch.seconds`; empty if the tuner does not report
            them.
        batches: The ends of the batches, in order.
        trials: The measured candidates, in order.
        error: Why the run ended early; empty if it did not.
    """

    recipe: str
    task: str
    seed: int
    startup_secs: float
    total_secs: float
    spent: Mapping[str, float] = field(default_factory=dict)
    batches: Sequence[Checkpoint] = ()
    trials: Sequence[Trial] = ()
    error: str = ""

    def incumbents(self) -> list[Incumbent]:
        """Return every candidate that was faster than all candidates before it."""
        found: list[Incumbent] = []
        begin, best = 0, math.inf
        for batch in self.batches:
            for number in range(begin, batch.measurements):
                trial = self.trials[number]
                if trial.own_secs < best:
                    best = trial.own_secs
                    kernel = trial.configuration or trial.trace
                    found.append(Incumbent(batch.seconds, number + 1, batch.steps, best, kernel))
            begin = batch.measurements
        return found

    def failures(self) -> dict[str, int]:
        """Count the failed trials by status; trials that are `ok` are not included."""
        counted = Counter(trial.status for trial in self.trials)
        return {s.value: counted[s] for s in Status if counted[s] and s is not Status.OK}

    def within(self, budget_secs: float) -> RunLog:
        """Return the log up to a time budget; a batch that ended later is dropped."""
        batches = [batch for batch in self.batches if batch.seconds <= budget_secs]
        measured = batches[-1].measurements if batches else 0
        total = min(self.total_secs, budget_secs)
        return replace(self, batches=batches, trials=self.trials[:measured], total_secs=total)


def is_metaschedule(label: str) -> bool:
    """Return whether a contestant with this label is TVM's own tuner, with whatever search."""
    return label.partition(":")[0] in (METASCHEDULE, OUR_STRATEGY)


def write_log(log: RunLog, path: Path) -> None:
    """Write a log to a file, atomically."""
    write_whole(path, json.dumps(_plain(log)))


def read_log(path: Path) -> RunLog:
    """Read a log that `write_log` has written.

    Raises:
        UsageError: The file is not the log of a run.
    """
    try:
        return _log_of(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not the log of a run ({error}); delete it, and the command runs it again"
        ) from None


def _plain(log: RunLog) -> dict[str, Any]:
    """Convert a log to JSON values: batches and trials are rows, infinity and nan are null."""
    return {
        **{f.name: getattr(log, f.name) for f in fields(log)},
        "spent": dict(log.spent),
        "batches": [[b.seconds, b.measurements, b.steps] for b in log.batches],
        "trials": [
            [
                t.configuration.to_json() if t.configuration else None,
                t.status.value,
                *(s if math.isfinite(s) else None for s in (t.own_secs, t.build_secs, t.run_secs)),
                *([t.trace.text] if t.trace else []),
            ]
            for t in log.trials
        ],
    }


def _log_of(data: dict[str, Any]) -> RunLog:
    batches = tuple(Checkpoint(*batch) for batch in data["batches"])
    return RunLog(**{**data, "batches": batches, "trials": tuple(map(_trial_of, data["trials"]))})


def _trial_of(row: list[Any]) -> Trial:
    configuration, status, own, build, run, *trace = row
    return Trial(
        Configuration.from_json(configuration) if configuration else None,
        Status(status),
        math.inf if own is None else own,
        math.nan if build is None else build,
        math.nan if run is None else run,
        ForeignTrace(*trace) if trace else None,
    )
