"""What one tuner did on one task: written by its process, read by the comparison."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.errors import UsageError
from chameleon_tuner.measure.outcome import Status
from chameleon_tuner.space import Configuration, ForeignTrace
from chameleon_tuner.writing import write_whole

Kernel = Configuration | ForeignTrace
"""What can be built again."""


@dataclass(frozen=True)
class Trial:
    """One candidate as its tuner measured it.

    Attributes:
        configuration: what ran; None where another tuner's trace has no counterpart.
        status: how it ended.
        own_secs: the tuner's own figure; infinite for failures.
        build_secs: its share of the building; nan where the tuner does not say.
        run_secs: its share of the running; nan where the tuner does not say.
        trace: of what has no configuration, where its tuner can tell.
    """

    configuration: Configuration | None
    status: Status
    own_secs: float
    build_secs: float = math.nan
    run_secs: float = math.nan
    trace: ForeignTrace | None = None


@dataclass(frozen=True)
class Batch:
    """The end of a batch.

    Attributes:
        seconds: of the run's clock, which starts with its process.
        measurements: so far, this batch's included.
        steps: of exploration so far; 0 where the tuner does not say.
    """

    seconds: float
    measurements: int
    steps: int = 0


@dataclass(frozen=True)
class Incumbent:
    """A candidate that was the fastest so far, as its tuner believed.

    Attributes:
        seconds: of the run's clock when the tuner learned of it: the end of its batch.
        measurements: up to it, itself included.
        steps: of exploration up to its batch.
        own_secs: the tuner's own figure.
        kernel: what ran: its configuration, or its trace; None where neither is known.
    """

    seconds: float
    measurements: int
    steps: int
    own_secs: float
    kernel: Kernel | None


@dataclass(frozen=True)
class RunLog:
    """One run: a recipe on a task with a seed, in a process of its own.

    Attributes:
        recipe: as the comparison names it, trials included where they are its own.
        task: name of the task.
        seed: of the search.
        startup_secs: of the clock when the first batch could begin: imports, loading the task.
        total_secs: of the clock at the end.
        spent: seconds by activity, see `Stopwatch.seconds`; empty where the tuner does not say.
        batches: in order.
        trials: in order.
        error: why the run ended early; empty where it did not.
    """

    recipe: str
    task: str
    seed: int
    startup_secs: float
    total_secs: float
    spent: Mapping[str, float] = field(default_factory=dict)
    batches: Sequence[Batch] = ()
    trials: Sequence[Trial] = ()
    error: str = ""

    def incumbents(self) -> list[Incumbent]:
        """Every candidate that improved on all before it."""
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
        """How many trials ended how; those that are `ok` are not among them."""
        counted = Counter(trial.status for trial in self.trials)
        return {s.value: counted[s] for s in Status if counted[s] and s is not Status.OK}

    def within(self, budget_secs: float) -> RunLog:
        """What the run had done by then: its last batch may have ended after its budget."""
        batches = [batch for batch in self.batches if batch.seconds <= budget_secs]
        measured = batches[-1].measurements if batches else 0
        total = min(self.total_secs, budget_secs)
        return replace(self, batches=batches, trials=self.trials[:measured], total_secs=total)


def write_log(log: RunLog, path: Path) -> None:
    """Write a log; whoever reads the path sees all of it or nothing."""
    write_whole(path, json.dumps(_plain(log)))


def read_log(path: Path) -> RunLog:
    """Inverse of `write_log`.

    Raises:
        UsageError: it is no log.
    """
    try:
        return _log_of(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not the log of a run ({error}); delete it, and the command runs it again"
        ) from None


def _plain(log: RunLog) -> dict[str, Any]:
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
    batches = tuple(Batch(*batch) for batch in data["batches"])
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
