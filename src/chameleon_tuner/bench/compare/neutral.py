"""The neutral timer: latencies of the candidates of all tuners, measured in the same way.

Tuners measure by methods of their own and at different moments. Here all candidates of a task take
turns in one process, so that a slowdown of the machine affects all of them. Each candidate is
lowered as its tuner deploys it: TVM's elimination of common subexpressions, which MetaSchedule uses
and this project does not, makes some kernels three times as slow (docs/evaluation.md). Latencies
are comparable only within one such session. A file holds one session; further candidates require
a new session.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from chameleon_tuner.core.configuration import (
    Configuration,
    DeployedKernel,
    ForeignTrace,
    LoweredByTVM,
)
from chameleon_tuner.core.errors import MeasurementError
from chameleon_tuner.ports.handler import Failed
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import write_whole

ROUNDS, ROUND_SECS = 11, 0.05
"""Number of rounds, and seconds of each kernel per round.

There are many short rounds, because a shared machine is slow for seconds at a time. On a Zen 3,
with 5 rounds of 0.1 s, the final latencies of three searches were 0.91 of those of three others;
seven rounds at a later time gave 1.07."""

_LEAN = "lean"
"""Marks kernels in a session's file that were lowered as this project does it.

Kernels without this mark were lowered by TVM; in old files that is true of all kernels."""

Samples = tuple[float, ...]
"""Seconds per run in every round; empty for a candidate that fails."""

Measure = Callable[[Sequence[DeployedKernel]], Mapping[DeployedKernel, Samples]]
"""A function that times distinct candidates of a task together."""


class TimedKernel(Protocol):
    """The timing of one candidate, see `ports.handler.Timed`."""

    @property
    def samples(self) -> Samples:
        """Seconds per run in every round; empty if the candidate failed."""
        ...


class KernelTimer(Protocol):
    """Times candidates together; see `LocalNeutralTimer.time`."""

    def time(
        self, task: Task, configurations: Sequence[DeployedKernel], rounds: int, round_secs: float
    ) -> Sequence[TimedKernel]:
        """Time candidates of a task in interleaved rounds.

        Args:
            task: Task of the candidates.
            configurations: The candidates.
            rounds: Number of rounds.
            round_secs: Seconds of each candidate per round.

        Returns:
            One result per candidate, in order.

        Raises:
            Failed: A candidate ended the process, so that there is no result for any of them.
        """
        ...


# -- timing


def neutral_samples(
    measurer: KernelTimer,
    task: Task,
    configurations: Sequence[DeployedKernel],
    rounds: int = ROUNDS,
    round_secs: float = ROUND_SECS,
) -> dict[DeployedKernel, Samples]:
    """Time the distinct candidates of a task together in interleaved rounds.

    If a candidate ends the process of all of them, each candidate is tried alone, and those that
    fail alone are left out of the joint timing.

    Args:
        measurer: KernelTimer; nothing else should run on the machine meanwhile.
        task: Task of the candidates.
        configurations: Candidates, possibly repeated.
        rounds: Number of rounds; every candidate has one turn per round.
        round_secs: Seconds per turn; a candidate that takes longer runs once per round.

    Returns:
        The samples of each distinct candidate; empty for candidates that fail.

    Raises:
        MeasurementError: The candidates fail together but none fails alone, or the measurer cannot
            go on.
    """
    distinct = list(dict.fromkeys(configurations))
    samples: dict[DeployedKernel, Samples] = dict.fromkeys(distinct, ())
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
    measurer: KernelTimer, task: Task, configuration: DeployedKernel, rounds: int, round_secs: float
) -> bool:
    """Check that a candidate, timed alone, does not end the process."""
    try:
        measurer.time(task, [configuration], rounds, round_secs)
    except Failed:
        return False
    return True


def median_us(samples: Samples) -> float:
    """Return the median in microseconds; infinite for a candidate that failed."""
    return statistics.median(samples) * 1e6 if samples else math.inf


def noise(samples: Iterable[Samples]) -> float:
    """Compute the relative spread of the timer.

    Returns:
        The median over all candidates of their interquartile range divided by their median, a
        fraction; nan if no candidate ran.
    """
    quartiles = np.array([np.percentile(mine, [25, 50, 75]) for mine in samples if mine])
    if not quartiles.size:
        return math.nan
    low, middle, high = quartiles.T
    return float(np.median((high - low) / middle))


# -- the file of a session


def timed(
    folder: Path, task: Task, configurations: Sequence[DeployedKernel], measure: Measure
) -> dict[DeployedKernel, Samples]:
    """Return samples of the distinct candidates of a task, all from one session.

    The file `<name of the task>.json` in the folder holds the last session. If that session has
    all candidates, its samples are returned; otherwise all candidates are timed again and the file
    is replaced.

    Args:
        folder: Folder of the session files, created if it does not exist.
        task: Task of the candidates.
        configurations: Candidates, possibly repeated.
        measure: Times candidates together, see `neutral_samples`.

    Returns:
        The samples of each distinct candidate; empty for candidates that fail.
    """
    distinct = list(dict.fromkeys(configurations))
    path = folder / f"{task.name}.json"
    known = _read(path, task)
    if not known.keys() >= set(distinct):
        known = measure(distinct)
        _write(known, path, task)
    return {configuration: known[configuration] for configuration in distinct}


def _write(samples: Mapping[DeployedKernel, Samples], path: Path, task: Task) -> None:
    rows = [[_plain(kernel), mine] for kernel, mine in samples.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"task": task.key, "samples": rows}))


def _read(path: Path, task: Task) -> Mapping[DeployedKernel, Samples]:
    """Read a session; it is empty if the file is missing, damaged, or of another task."""
    try:
        data = json.loads(path.read_text())
        if data["task"] != task.key:
            return {}
        return {_kernel_of(plain): tuple(map(float, mine)) for plain, mine in data["samples"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _plain(kernel: DeployedKernel) -> Any:
    """Convert a kernel to a JSON value, including how it is lowered."""
    match kernel:
        case ForeignTrace():
            return kernel.text
        case LoweredByTVM():
            return kernel.configuration.to_json()
        case _:
            return kernel.to_json() | {"lowering": _LEAN}


def _kernel_of(plain: Any) -> DeployedKernel:
    """Convert a JSON value of `_plain` back to a kernel."""
    if isinstance(plain, str):
        return ForeignTrace(plain)
    configuration = Configuration.from_json(plain)
    return configuration if plain.get("lowering") == _LEAN else LoweredByTVM(configuration)
