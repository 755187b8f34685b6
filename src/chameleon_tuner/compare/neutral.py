"""The neutral timer: what every tuner's candidates for a task take, by one and the same clock.

Tuners time in ways of their own, at moments of their own. Here all their candidates take turns in
one process, so that a machine that slows down slows all of them down. Each is lowered as its tuner
deploys it: TVM's elimination of common subexpressions, which MetaSchedule has and this project has
not, makes some kernels three times as slow (docs/evaluation.md). Figures compare only within such a
session: a file holds one, and more candidates make another.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chameleon_tuner.errors import MeasurementError
from chameleon_tuner.measure.outcome import Failed
from chameleon_tuner.space import Configuration, Deployed, ForeignTrace, LoweredByTVM
from chameleon_tuner.task import Task
from chameleon_tuner.writing import write_whole

ROUNDS, ROUND_SECS = 11, 0.05
"""Many and short: a machine of others is slow for seconds at a time. With 5 of 0.1 s the finals of
three searches on a Zen 3 were at 0.91 of three others' that seven rounds, later, had at 1.07."""

_LEAN = "lean"
"""This project's lowering. What does not say so was lowered by TVM: so was everything once."""

Samples = tuple[float, ...]
"""Seconds of one run, in every round; empty for a candidate that fails."""

Measure = Callable[[Sequence[Deployed]], Mapping[Deployed, Samples]]
"""Times distinct candidates of a task together."""


class TimedKernel(Protocol):
    """What was found about one candidate; see `chameleon_tuner.tvm.worker.Judged`."""

    @property
    def samples(self) -> Samples:
        """Seconds of every round; empty where it failed."""
        ...


class Timer(Protocol):
    """Times candidates together; see `LocalMeasurer.time`."""

    def time(
        self, task: Task, configurations: Sequence[Deployed], rounds: int, round_secs: float
    ) -> Sequence[TimedKernel]:
        """One result for each configuration, in order.

        Raises:
            Failed: one of them took all the others along.
        """
        ...


# -- timing


def neutral_samples(
    measurer: Timer,
    task: Task,
    configurations: Sequence[Deployed],
    rounds: int = ROUNDS,
    round_secs: float = ROUND_SECS,
) -> dict[Deployed, Samples]:
    """Samples of each distinct candidate, all timed together but for those that fail.

    Where one takes the others along, each is tried alone, and those that fail then are left out.

    Args:
        measurer: has the machine to itself meanwhile.
        task: whose candidates they are.
        configurations: any number, repeated or not.
        rounds: in which each has a turn.
        round_secs: of one turn; a candidate that takes longer is run once a round.

    Raises:
        MeasurementError: they fail together, but none fails alone; or the measurer cannot go on.
    """
    distinct = list(dict.fromkeys(configurations))
    samples: dict[Deployed, Samples] = dict.fromkeys(distinct, ())
    together = distinct
    while together:
        try:
            timed = measurer.time(task, together, rounds, round_secs)
        except Failed as failure:
            sound = [c for c in together if _sound(measurer, task, c, rounds, round_secs)]
            if len(sound) == len(together):
                raise MeasurementError(
                    f"{task.name}: its candidates cannot be timed together ({failure}), though "
                    "each runs alone; free memory if there is little, and run again"
                ) from failure
            together = sound
        else:
            return samples | {c: t.samples for c, t in zip(together, timed, strict=True)}
    return samples


def _sound(
    measurer: Timer, task: Task, configuration: Deployed, rounds: int, round_secs: float
) -> bool:
    """Whether a candidate takes nobody along."""
    try:
        measurer.time(task, [configuration], rounds, round_secs)
    except Failed:
        return False
    return True


def median_us(samples: Samples) -> float:
    """The median in microseconds; infinite for a candidate that failed."""
    return statistics.median(samples) * 1e6 if samples else math.inf


def noise(samples: Iterable[Samples]) -> float:
    """The timer's own spread: interquartile range over median, the median over all candidates.

    Returns:
        A fraction; nan where nothing ran.
    """
    quartiles = np.array([np.percentile(mine, [25, 50, 75]) for mine in samples if mine])
    if not quartiles.size:
        return math.nan
    low, middle, high = quartiles.T
    return float(np.median((high - low) / middle))


# -- the file of a session


def timed(
    folder: Path, task: Task, configurations: Sequence[Deployed], measure: Measure
) -> dict[Deployed, Samples]:
    """Samples of each distinct candidate, of one session.

    The last session of a task is in `folder`, in `<name of the task>.json`. It answers where all
    candidates took part in it; otherwise all are timed again, and the file is replaced.

    Args:
        folder: made where there is none.
        task: whose candidates they are.
        configurations: any number, repeated or not.
        measure: times those that it is given, together: see `neutral_samples`.
    """
    distinct = list(dict.fromkeys(configurations))
    path = folder / f"{task.name}.json"
    known = _read(path, task)
    if not known.keys() >= set(distinct):
        known = measure(distinct)
        _write(known, path, task)
    return {configuration: known[configuration] for configuration in distinct}


def _write(samples: Mapping[Deployed, Samples], path: Path, task: Task) -> None:
    rows = [[_plain(kernel), mine] for kernel, mine in samples.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"task": task.key, "samples": rows}))


def _read(path: Path, task: Task) -> Mapping[Deployed, Samples]:
    """What is in the file; nothing where it is missing, damaged, or another task's."""
    try:
        data = json.loads(path.read_text())
        if data["task"] != task.key:
            return {}
        return {_kernel_of(plain): tuple(map(float, mine)) for plain, mine in data["samples"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _plain(kernel: Deployed) -> Any:
    match kernel:
        case ForeignTrace():
            return kernel.text
        case LoweredByTVM():
            return kernel.configuration.to_json()
        case _:
            return kernel.to_json() | {"lowering": _LEAN}


def _kernel_of(plain: Any) -> Deployed:
    if isinstance(plain, str):
        return ForeignTrace(plain)
    configuration = Configuration.from_json(plain)
    return configuration if plain.get("lowering") == _LEAN else LoweredByTVM(configuration)
