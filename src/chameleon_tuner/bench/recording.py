"""Recordings: measurements of tasks in one small file, for searches without the hardware.

The file has the JSON Lines format, and is compressed if its name ends in .gz. An object starts a
task. Each of the lists that follow it, `[sketch, indices, status, seconds, build_secs, run_secs]`,
is one configuration of this task; `seconds` is null for a failure.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chameleon_tuner.core.configuration import Configuration
from chameleon_tuner.core.errors import UsageError
from chameleon_tuner.core.outcome import Outcome, Status
from chameleon_tuner.measure.replay import replayed
from chameleon_tuner.ports.runlog import RunLog, Trial
from chameleon_tuner.search.history import History
from chameleon_tuner.space import DesignSpace
from chameleon_tuner.space.plain import from_plain, to_plain
from chameleon_tuner.space.task import Task
from chameleon_tuner.system.files import write_whole

VERSION = 1
"""The version of the file format, the value of `recording` in the line that starts a task."""


@dataclass(frozen=True)
class Recording:
    """The measurements of one task, and the machine they come from.

    Attributes:
        task: The task, with an empty module.
        outcomes: One outcome per configuration, sorted by configuration.
        machine: Name of the machine, for readers and to tell recordings of two machines apart.
        threads: Number of threads that building and running used.
        versions: Versions of the packages that made the kernels, by package name.
    """

    task: Task
    outcomes: tuple[Outcome, ...] = field(repr=False)
    machine: str
    threads: int
    versions: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether every configuration of the design space is recorded."""
        return len(self.outcomes) == self.task.space.count


def history_of(recording: Recording) -> History:
    """Return the history of a search that has measured everything in a recording."""
    history = History(recording.task.space)
    history.extend(list(recording.outcomes))
    return history


def recording_of(
    task: Task,
    logs: Iterable[RunLog],
    *,
    machine: str,
    threads: int,
    versions: Mapping[str, str],
) -> Recording:
    """Build the recording of a task from the logs of its runs.

    A trial is recorded only if its configuration and its costs are known. If several trials have
    the same configuration, the first with status `ok` is recorded, or else the first. Numbers are
    rounded to 6 significant digits, because the noise of a timing is in the third digit.

    Args:
        task: The recorded task.
        logs: Logs of runs; those of other tasks are ignored.
        machine: Name of the machine.
        threads: Number of threads that building and running used.
        versions: Versions of the packages that made the kernels, by package name.

    Returns:
        The recording, whose task has an empty module.

    Raises:
        UsageError: A log has a configuration outside the design space of the task.
    """
    trials = [trial for log in logs if log.task == task.name for trial in log.trials]
    outcomes = [o for trial in trials if (o := _outcome_of(trial)) is not None]
    for outcome in outcomes:
        if not task.space.contains(outcome.configuration):
            raise UsageError(
                f"a run of {task.name} measured {outcome.configuration}, which is not of its "
                "design space: the log is of another version; delete it and run it again"
            )
    plain = replace(task, module="")
    return Recording(plain, _distinct(outcomes), machine, threads, dict(versions))


def write_recordings(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings to a file, atomically; equal recordings give equal bytes."""
    lines = [line for recording in recordings for line in _lines_of(recording)]
    data = "".join(f"{json.dumps(x, separators=(',', ':'))}\n" for x in lines).encode()
    write_whole(path, _compressed(data) if path.suffix == ".gz" else data)


def read_recordings(paths: Iterable[Path]) -> list[Recording]:
    """Read files of `write_recordings`, one recording per task in order of first appearance.

    If a task appears more than once, its outcomes are merged by the rule of `recording_of`.

    Raises:
        UsageError: A file is missing, empty, damaged or not a recording, or recordings with the
            same task name are of different kernels or machines.
    """
    merged: dict[str, Recording] = {}
    for path in paths:
        for recording in _read(path):
            name = recording.task.name
            known = merged.get(name)
            merged[name] = _merged(known, recording, path) if known else recording
    return list(merged.values())


def _outcome_of(trial: Trial) -> Outcome | None:
    """Return the outcome of a trial, or None if its configuration, latency or a cost is missing."""
    costs = trial.build_secs, trial.run_secs
    sound = _is_sound(trial.status, trial.own_secs) and all(map(math.isfinite, costs))
    if trial.configuration is None or not sound:
        return None
    figures = (float(f"{secs:.6g}") for secs in (trial.own_secs, *costs))
    return replayed(trial.configuration, trial.status, *figures)


def _is_sound(status: Status, seconds: float) -> bool:
    """Check that a candidate has a finite time if and only if it ran."""
    ran = status in (Status.OK, Status.CENSORED)
    return 0 < seconds < math.inf if ran else seconds == math.inf


def _distinct(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """Keep one outcome per configuration, the first `ok` one or else the first; sort them."""
    kept: dict[Configuration, Outcome] = {}
    for outcome in outcomes:
        before = kept.setdefault(outcome.configuration, outcome)
        if outcome.status is Status.OK and before.status is not Status.OK:
            kept[outcome.configuration] = outcome
    return tuple(kept[configuration] for configuration in sorted(kept))


def _merged(first: Recording, second: Recording, path: Path) -> Recording:
    """Merge two recordings of the same task; `path` is the file of the second."""
    one, other = first.task, second.task
    same = (one.key, one.space, one.target) == (other.key, other.space, other.target)
    if not same or (first.machine, first.threads) != (second.machine, second.threads):
        raise UsageError(
            f"{path}: {one.name} is another kernel, or of another machine, than the {one.name} "
            "before it: read them apart"
        )
    return replace(first, outcomes=_distinct((*first.outcomes, *second.outcomes)))


# -- writing


def _lines_of(recording: Recording) -> list[Any]:
    """Return the header and the rows of a recording as JSON values, one per line."""
    task = recording.task
    header = {
        "recording": VERSION,
        "name": task.name,
        "key": task.key,
        "weight": task.weight,
        "flops": task.flops,
        "arguments": list(task.arguments),
        "target": dict(sorted(task.target.items())),
        "vector_bits": task.vector_bits,
        "machine": recording.machine,
        "threads": recording.threads,
        "versions": dict(sorted(recording.versions.items())),
        "space": to_plain(task.space),
    }
    return [header, *(_row_of(outcome) for outcome in recording.outcomes)]


def _row_of(outcome: Outcome) -> list[Any]:
    """Return the list of an outcome, see the module docstring."""
    at, seconds = outcome.configuration, outcome.seconds
    shown = seconds if math.isfinite(seconds) else None
    costs = outcome.build_secs, outcome.run_secs
    return [at.sketch, list(at.indices), outcome.status.value, shown, *costs]


def _compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    # Without a file name and a time stamp, the bytes depend on the data alone.
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as packed:
        packed.write(data)
    return buffer.getvalue()


# -- reading


def _read(path: Path) -> list[Recording]:
    """Read the recordings in one file."""
    found: list[tuple[Recording, list[Outcome]]] = []
    for number, line in enumerate(_lines_in(path), start=1):
        try:
            data = json.loads(line)
            if isinstance(data, dict) or not found:
                found.append((_opened(data), []))
            else:
                found[-1][1].append(_recorded(data, found[-1][0].task.space))
        except (UsageError, ValueError, OverflowError) as error:
            raise UsageError(
                f"{path}, line {number}: {error}; restore the file, or record the task again"
            ) from None
    return [replace(recording, outcomes=_distinct(outcomes)) for recording, outcomes in found]


def _lines_in(path: Path) -> list[str]:
    """Read the lines of a file, which is decompressed if its name ends in .gz."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no recording ({error}); name one, or record it again"
        ) from None
    if not text:
        raise UsageError(f"{path} is empty; name a recording, or record it again")
    return text.splitlines()


def _opened(data: Any) -> Recording:
    """Parse the header line of a task; the returned recording has no outcomes yet."""
    match data:
        case {"recording": int(version)} if version > VERSION:
            raise UsageError("a newer version of Chameleon wrote this; read it with that one")
        case {
            "recording": 1,
            "name": str(name),
            "key": str(key),
            "weight": int(weight),
            "flops": int() | float() as flops,
            "arguments": list(arguments),
            "target": dict(target),
            "machine": str(machine),
            "threads": int(threads),
            "versions": dict(versions),
            "space": space,
        } if threads > 0:
            texts = tuple(map(str, arguments))
            task = Task(name, key, "", target, from_plain(space), weight, flops, texts)
            bits = int(data.get("vector_bits", task.vector_bits))
            return Recording(replace(task, vector_bits=bits), (), machine, threads, versions)
    raise UsageError("this does not open the recording of a task")


def _recorded(data: Any, space: DesignSpace) -> Outcome:
    """Parse the line of one configuration."""
    match data:
        case [
            int(sketch),
            [*indices],
            str(status),
            None | int() | float() as seconds,
            int() | float() as build_secs,
            int() | float() as run_secs,
        ] if all(isinstance(index, int) for index in indices):
            configuration, ended = Configuration(sketch, tuple(indices)), Status(status)
            secs = math.inf if seconds is None else float(seconds)
            costs = float(build_secs), float(run_secs)
            if not space.contains(configuration):
                raise UsageError(f"{configuration} is not of the task's design space")
            if _is_sound(ended, secs) and all(0 <= cost < math.inf for cost in costs):
                return replayed(configuration, ended, secs, *costs)
    raise UsageError("this is not the record of a configuration")
