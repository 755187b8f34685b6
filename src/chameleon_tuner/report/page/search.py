"""What the records of a folder tell of the search: best-so-far curves, and causes of failures."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chameleon_tuner.core.errors import RecordsError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.ports.records import Measurement
from chameleon_tuner.records import RecordStore
from chameleon_tuner.records.sharing import BEGAN_WITH
from chameleon_tuner.report.result import Result, TaskResult
from chameleon_tuner.system.files import RECORDS


@dataclass(frozen=True)
class Steps:
    """A best-so-far curve: a value from a trial on, until the next one.

    Attributes:
        trials: Numbers of the trials after which the values hold, ascending, (n,).
        values: The values, (n,).
        end: Number of the last trial.
    """

    trials: Sequence[int]
    values: Sequence[float]
    end: int

    def at(self, trial: int) -> float:
        """Return the value after a trial; infinite before the first value."""
        known = [value for n, value in zip(self.trials, self.values, strict=True) if n <= trial]
        return known[-1] if known else math.inf


@dataclass(frozen=True)
class KernelSearch:
    """The search of one kernel.

    Attributes:
        task: The kernel.
        best_us: Microseconds of the fastest candidate so far, by the trials of the kernel.
    """

    task: TaskResult
    best_us: Steps


@dataclass(frozen=True)
class Failure:
    """Trials that ended for the same cause.

    Attributes:
        status: How they ended.
        message: The message of the first one; others differ in numbers only.
        trials: Their number.
        kernels: Number of kernels that they are of.
    """

    status: Status
    message: str
    trials: int
    kernels: int


@dataclass(frozen=True)
class Search:
    """What all runs in a folder measured on one machine.

    Attributes:
        device: Model of the processor or of the GPU.
        kernels: The searches of the kernels that have trials, the largest share of time first.
        network_ms: Milliseconds of the calls of all kernels, each with its fastest candidate so far
            or, where that is faster, with its default schedule. Infinitely slow kernels are left
            out, whose default was never timed.
        left_out: Number of these kernels.
        failures: Causes of failures, the most frequent first.
    """

    device: str
    kernels: Sequence[KernelSearch]
    network_ms: Steps
    left_out: int
    failures: Sequence[Failure]


def read_search(result: Result) -> Search | None:
    """Read what the records in the folder of a result tell of its search.

    Nothing is changed, and a file of an older version is not upgraded.

    Args:
        result: The result of the last run in the folder.

    Returns:
        The search; None if there are no records of the result's kernels that can be read.
    """
    place = result.folder / RECORDS
    if not place.is_file() or not place.stat().st_size:
        return None  # opening would make a new store of it
    try:
        with RecordStore.open(place, upgrade=False) as store:
            measured = store.measurements()
            devices = {one.fingerprint: one.device for one in store.environments()}
            taken = {run.id for run in store.runs() if run.info.recipe == BEGAN_WITH}
    except RecordsError:
        return None
    here = _environment(result, measured, taken)
    return search_of(result, [m for m in measured if m.environment == here], devices.get(here, ""))


def _environment(result: Result, measured: Sequence[Measurement], taken: Collection[int]) -> str:
    """Return where the last run measured; or, if it measured nothing, where most is known of.

    Args:
        result: The result of the run.
        measured: Everything in the folder, also what was taken from other runs' records.
        taken: The runs to which the latter belongs.

    Returns:
        The fingerprint of the environment; empty where nothing was measured.
    """
    own = [one.environment for one in measured if one.record.run_id not in taken]
    if own:
        return own[-1]
    kernels = {key for task in result.tasks for key in task.workloads}
    known = Counter(one.environment for one in measured if one.workload in kernels)
    return known.most_common(1)[0][0] if known else ""


def search_of(result: Result, measured: Sequence[Measurement], device: str) -> Search | None:
    """Return the search that measurements of one environment are of.

    Args:
        result: The result of the run.
        measured: The measurements, in their order.
        device: Name of the environment's device.

    Returns:
        The search; None if no measurement is of a kernel of the result.
    """
    kernel = {key: number for number, task in enumerate(result.tasks) for key in task.workloads}
    mine = [(kernel[m.workload], m.record.outcome) for m in measured if m.workload in kernel]
    if not mine:
        return None
    outcomes: dict[int, list[Outcome]] = defaultdict(list)
    for number, outcome in mine:
        outcomes[number].append(outcome)
    searched = [
        KernelSearch(result.tasks[number], _best_us(found)) for number, found in outcomes.items()
    ]
    searched.sort(key=lambda one: -one.task.weight * _known_us(one.task))
    network_ms, left_out = _network_ms(result.tasks, mine)
    return Search(device, searched, network_ms, left_out, _failures(mine))


def _known_us(task: TaskResult) -> float:
    return task.best_us if math.isfinite(task.best_us) else 0.0


def _best_us(outcomes: Sequence[Outcome]) -> Steps:
    trials, values, best = [], [], math.inf
    for trial, outcome in enumerate(outcomes, 1):
        if _us(outcome) < best:
            best = _us(outcome)
            trials.append(trial)
            values.append(best)
    return Steps(trials, values, len(outcomes))


def _us(outcome: Outcome) -> float:
    return outcome.seconds * 1e6 if outcome.status is Status.OK else math.inf


def _network_ms(
    tasks: Sequence[TaskResult], measured: Sequence[tuple[int, Outcome]]
) -> tuple[Steps, int]:
    best = {n: task.untuned_us for n, task in enumerate(tasks) if math.isfinite(task.untuned_us)}
    trials, values = [0], [_sum_ms(tasks, best)]
    for trial, (number, outcome) in enumerate(measured, 1):
        if _us(outcome) < best.get(number, -math.inf):
            best[number] = _us(outcome)
            trials.append(trial)
            values.append(_sum_ms(tasks, best))
    return Steps(trials, values, len(measured)), len(tasks) - len(best)


def _sum_ms(tasks: Sequence[TaskResult], best_us: Mapping[int, float]) -> float:
    return math.fsum(tasks[number].weight * us for number, us in best_us.items()) / 1e3


def _failures(measured: Sequence[tuple[int, Outcome]]) -> list[Failure]:
    first: dict[tuple[Status, str], str] = {}
    numbers: dict[tuple[Status, str], list[int]] = defaultdict(list)
    for number, outcome in measured:
        if outcome.status in (Status.OK, Status.CENSORED):
            continue
        message = " ".join(outcome.message.split())
        cause = outcome.status, re.sub(r"\d[\d.]*", "", message)
        first.setdefault(cause, message)
        numbers[cause].append(number)
    causes = sorted(numbers.items(), key=lambda cause: -len(cause[1]))
    return [Failure(cause[0], first[cause], len(found), len(set(found))) for cause, found in causes]


def milestones(steps: Steps, most: int = 6) -> Iterator[tuple[int, float]]:
    """Yield a few trials, at doubling numbers and at the end, with the values after them.

    Args:
        steps: The curve.
        most: The most of them.

    Yields:
        The number of a trial, and the value after it.
    """
    halves = (steps.end >> n for n in range(most - 1))
    for trial in sorted({max(n, steps.trials[0] if steps.trials else 0) for n in halves}):
        yield trial, steps.at(trial)
